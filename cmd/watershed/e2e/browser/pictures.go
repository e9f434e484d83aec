package browser

import (
	"fmt"
	"math"
	"slices"
	"time"

	"watershed/cmd/watershed/camera"
)

// Pictures are what a <video> of a page has presented.
type Pictures struct {
	First   float64      // ms from the document's start to the first picture; 0 if there was none
	Samples [][2]float64 // number in the picture, and when it was presented in ms since 1970
	Unread  int          // pictures without a readable number
}

// Pictures of the page's video so far, by its place in the document.
func (p *Page) Pictures(video int) (Pictures, error) {
	var s Pictures
	err := p.Eval(fmt.Sprintf(`(({first, samples, unread}) => ({first, samples, unread}))(readers[%d] ?? {first: 0, samples: [], unread: 0})`, video), &s)
	return s, err
}

// WaitPictures waits until n further pictures have been presented.
func (p *Page) WaitPictures(video, n int, timeout time.Duration) error {
	s, err := p.Pictures(video)
	if err != nil {
		return err
	}
	return p.Wait(fmt.Sprintf(`readers[%d]?.samples.length >= %d`, video, len(s.Samples)+n), timeout)
}

// Delays in ms of the pictures, after leaving out the first, from the camera's clock to the screen's.
func (s Pictures) Delays(c camera.Info, skip int) []float64 {
	var all []float64
	loop := float64(c.Frames) * 1000 / float64(c.FPS)
	for _, x := range s.Samples[min(skip, len(s.Samples)):] {
		shown := (x[0]-float64(c.Shift))*1000/float64(c.FPS) + c.PhaseMS
		d := math.Mod(x[1]-shown, loop)
		if d < 0 {
			d += loop
		}
		all = append(all, d)
	}
	return all
}

// Quantile of values by nearest rank, q from 0 to 1; NaN without values.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
