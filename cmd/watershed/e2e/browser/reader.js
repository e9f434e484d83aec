// Runs first in every document. For each <video> it finds, also in shadow roots, it notes when pictures are presented and which number
// is burnt into them (see package camera), as readers[i] = { video, first, samples: [[number, wall clock in ms]...], unread }.
{
  const readers = (window.readers = [])

  // number reads a picture's number, or -1. The two lowest rows of 16 cells are shrunk to a pixel each, the one in its middle.
  const canvas = new OffscreenCanvas(16, 2)
  const context = canvas.getContext('2d', { willReadFrequently: true })
  context.imageSmoothingEnabled = false
  function number(video) {
    const cell = video.videoHeight / 30
    context.drawImage(video, 0, 28 * cell, 16 * cell, 2 * cell, 0, 0, 16, 2)
    const pixels = context.getImageData(1, 0, 14, 1).data
    const bits = Array.from({ length: 14 }, (_, i) => (pixels[4 * i] > 128 ? 1 : 0))
    const ones = bits.slice(2, 13).reduce((a, b) => a + b)
    return bits[0] && !bits[1] && bits[13] && ones % 2 ? parseInt(bits.slice(2, 12).join(''), 2) : -1
  }

  function attach(video) {
    const reader = { video, first: 0, samples: [], unread: 0 }
    readers.push(reader)
    video.requestVideoFrameCallback(function presented() {
      const now = performance.now(), wall = performance.timeOrigin + now
      reader.first ||= now
      const n = number(video)
      if (n < 0) reader.unread++
      else reader.samples.push([n, wall])
      video.requestVideoFrameCallback(presented)
    })
  }

  const seen = new WeakSet()
  function find(root) {
    for (const e of root.querySelectorAll('*')) {
      if (e.shadowRoot) find(e.shadowRoot)
      if (e.tagName !== 'VIDEO' || seen.has(e)) continue
      seen.add(e)
      attach(e)
    }
  }

  // A video that no document has yet plays nothing, so looking once a picture is enough.
  const look = () => (find(document), requestAnimationFrame(look))
  look()
}
