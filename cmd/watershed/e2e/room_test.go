package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// microphone replaces Chromium's own, whose beeps are too short to be a voice, by one that is silent until window.speak(true).
const microphone = `if (navigator.mediaDevices) {
	const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
	navigator.mediaDevices.getUserMedia = async (wanted) => {
		const media = await real(wanted)
		for (const t of media.getAudioTracks()) {
			media.removeTrack(t)
			t.stop()
		}
		const context = new AudioContext(), tone = new OscillatorNode(context, {frequency: 300}), volume = new GainNode(context, {gain: 0})
		const to = context.createMediaStreamDestination()
		tone.connect(volume).connect(to)
		tone.start()
		window.speak = (on) => { volume.gain.value = on ? 0.3 : 0 }
		for (const t of to.stream.getAudioTracks()) media.addTrack(t)
		return media
	}
}`

// enterRoom is somebody in the kitchen with camera and microphone.
func enterRoom(t *testing.T, n *Node, name, fragment string) *browser.Page {
	t.Helper()
	p := open(t, "about:blank")
	require.NoError(t, p.Do(nil, "addInitScript", microphone))
	require.NoError(t, p.Do(nil, "goto", n.URL+"/room/kitchen"+fragment))
	require.NoError(t, p.Wait(`document.querySelector('.mirror video')?.videoWidth`, patience), "build the pages first: make web")
	require.NoError(t, p.Do(nil, "fill", ".panel input", name))
	require.NoError(t, p.Do(nil, "click", ".panel .primary"))
	return p
}

// waitSees waits until a page shows so many people, itself included, and the pictures of all move on.
func waitSees(t *testing.T, p *browser.Page, people int) {
	t.Helper()
	tiles := fmt.Sprintf(`(v => v.length === %d && v.every(e => e.videoWidth > 0))([...document.querySelectorAll('.tile video')])`, people)
	require.NoError(t, p.Wait(tiles, patience))
	const presented = `[...document.querySelectorAll('.tile video')].map(e => e.getVideoPlaybackQuality().totalVideoFrames)`
	var before []int
	require.NoError(t, p.Eval(presented, &before))
	require.NoError(t, p.Wait(fmt.Sprintf(`(b => %s.every((n, i) => n > b[i] + 5))(%s)`, presented, list(before)), patience), "pictures advance")
}

func list(n []int) string {
	text := "["
	for i, x := range n {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprint(x)
	}
	return text + "]"
}

// TestModeratedRoom: people with tokens see, hear and read each other; who speaks stands out; a moderator mutes one and puts out another.
func TestModeratedRoom(t *testing.T) {
	n, _ := newNode(t, func(c *config.Config) { c.Auth.Mode = "token" })
	enter := func(name, role string) *browser.Page {
		t.Helper()
		return enterRoom(t, n, name, "#token="+n.token(t, "--role", role, "--name", name))
	}
	ann, ben, cleo := enter("Ann", "moderator"), enter("Ben", "publisher"), enter("Cleo", "publisher")
	for _, p := range []*browser.Page{ann, ben, cleo} {
		waitSees(t, p, 3)
	}
	say(t, ben, "can you hear me?")
	waitLast(t, ann, "can you hear me?")
	waitLast(t, cleo, "can you hear me?")
	require.NoError(t, ben.Eval(`speak(true)`, nil))
	for _, p := range []*browser.Page{ann, ben, cleo} {
		require.NoError(t, p.Wait(`(s => s.length === 1 && s[0].textContent.includes('Ben'))([...document.querySelectorAll('.tile[data-speaking]')])`, patience))
	}
	require.NoError(t, ben.Wait(`!document.querySelector('.tile-tools')`, patience), "only moderators have tools")
	require.NoError(t, cleo.Do(nil, "click", ".hang-up"))
	for _, p := range []*browser.Page{ann, ben} {
		waitSees(t, p, 2)
	}

	require.NoError(t, ann.Eval(`document.querySelector('.tile-tools button:nth-child(1)').click()`, nil))
	require.NoError(t, ann.Wait(`document.querySelector('.tile:has(.tile-tools) .off')`, patience), "muted")
	require.NoError(t, ben.Wait(`document.querySelector('.tile:has(video[data-mirror]) .off')`, patience), "who is muted sees it")
	require.NoError(t, ann.Wait(`!document.querySelector('.tile:has(.tile-tools)').dataset.speaking`, patience))

	require.NoError(t, ann.Eval(`document.querySelector('.tile-tools button:nth-child(3)').click()`, nil))
	require.NoError(t, ben.Wait(`document.querySelector('main.note h1')?.textContent === 'You were removed from this room.'`, patience))
	waitSees(t, ann, 1)
	for _, p := range []*browser.Page{ann, ben, cleo} {
		require.Empty(t, complaints(p))
	}
}

// TestOneVisitorCountsOnce: a page that plays and has a socket is one person, by whatever way it plays.
func TestOneVisitorCountsOnce(t *testing.T) {
	_, n, _ := oneCamera(t)
	for _, via := range []string{"webrtc", "llhls"} {
		t.Run(via, func(t *testing.T) {
			p := openPage(t, n, "/watch/cam0?via="+via)
			defer p.Close()
			waitPlaying(t, p, via)
			require.NoError(t, p.WaitPictures(0, 20, patience))
			waitWatching(t, p, "1 watching")
			second := openPage(t, n, "/watch/cam0?via="+via)
			waitPlaying(t, second, via)
			for _, page := range []*browser.Page{p, second} {
				waitWatching(t, page, "2 watching")
			}
			require.NoError(t, second.Close())
			waitWatching(t, p, "1 watching")
		})
	}
}

// waitWatching waits until the page says how many watch.
func waitWatching(t *testing.T, p *browser.Page, want string) {
	t.Helper()
	const says = `document.querySelector('.about-line .num')?.textContent`
	if err := p.Wait(says+` === '`+want+`'`, patience); err != nil {
		var got, about string
		p.Eval(says+` ?? ''`, &got)
		p.Eval(`document.body.innerText`, &about)
		require.NoError(t, err, "the page says %q, and in all:\n%s", got, about)
	}
}
