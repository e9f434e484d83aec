package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// player's view of what it does, as an expression.
const player = `document.querySelector('watershed-player').view`

// openPage shows one of the node's own pages.
func openPage(t *testing.T, n *Node, path string) *browser.Page {
	t.Helper()
	p := open(t, n.URL+path)
	require.NoError(t, p.Wait(`!document.body.textContent.includes('not in this binary')`, patience), "build the pages first: make web")
	return p
}

func waitPlaying(t *testing.T, p *browser.Page, via string) {
	t.Helper()
	require.NoError(t, p.Wait(fmt.Sprintf(`document.querySelector('watershed-player')?.view?.state === 'playing' && %s.via === '%s'`, player, via), patience))
}

// complaints are what a page's scripts said that they should not have. Resources that are not there yet are told by the network, not by scripts.
func complaints(p *browser.Page) (all []string) {
	for _, line := range p.Console() {
		if strings.HasPrefix(line, "uncaught") || strings.Contains(line, "Content Security Policy") {
			all = append(all, line)
		}
	}
	return all
}

func TestEveryPageOpensInBothLanguages(t *testing.T) {
	_, n, _ := oneCamera(t)
	for path, ready := range map[string]string{
		"/":              `document.querySelector('.card h3')?.textContent === 'cam0'`,
		"/watch/cam0":    `document.querySelector('h1')?.textContent === 'cam0' && document.querySelector('.composer, .composer-off')`,
		"/embed/cam0":    `document.querySelector('watershed-player').shadowRoot`,
		"/publish/mine":  `document.querySelector('.panel .primary')`,
		"/room/anywhere": `document.querySelector('.lobby input')`,
	} {
		for locale, word := range map[string]string{"en-US": "en", "zh-CN": "zh-CN"} {
			t.Run(locale+path, func(t *testing.T) {
				p, err := theChromium(t).Open(n.URL+path, map[string]any{"locale": locale})
				require.NoError(t, err)
				defer p.Close()
				require.NoError(t, p.Wait(ready, patience))
				if path != "/embed/cam0" {
					require.NoError(t, p.Wait(fmt.Sprintf(`document.documentElement.lang === '%s'`, word), patience))
				}
				require.Empty(t, complaints(p))
			})
		}
	}
}

func TestWatchPageSaysWhichWayItPlays(t *testing.T) {
	_, n, _ := oneCamera(t)
	for _, via := range []string{"webrtc", "llhls", "hls"} {
		t.Run(via, func(t *testing.T) {
			p := openPage(t, n, "/watch/cam0?via="+via)
			require.NoError(t, p.WaitPictures(0, 20, patience))
			waitPlaying(t, p, via)
			require.Empty(t, complaints(p))
		})
	}
}

// Everything but hls.js stays below 100 KB, and hls.js is not loaded where WebRTC works.
func TestWatchPageIsLight(t *testing.T) {
	_, n, _ := oneCamera(t)
	p := openPage(t, n, "/watch/cam0")
	waitPlaying(t, p, "webrtc")
	var loaded []struct {
		Name string
		Size int
	}
	require.NoError(t, p.Eval(`performance.getEntries().filter(e => e.entryType === 'navigation' || e.name.includes('/assets/')).map(e => ({Name: e.name, Size: e.encodedBodySize}))`, &loaded))
	total := 0
	for _, f := range loaded {
		require.NotContains(t, f.Name, "hlsjs")
		total += f.Size
	}
	require.Greater(t, len(loaded), 3)
	require.Less(t, total, 100<<10)
}

func TestPlayerFallsBackAndSaysWhy(t *testing.T) {
	_, n, _ := oneCamera(t)
	p := open(t, "about:blank")
	require.NoError(t, p.Do(nil, "addInitScript", `delete window.RTCPeerConnection`))
	require.NoError(t, p.Do(nil, "goto", n.URL+"/watch/cam0"))
	waitPlaying(t, p, "llhls")
	var note string
	require.NoError(t, p.Eval(`document.querySelector('watershed-player').shadowRoot.querySelector('.note span').textContent`, &note))
	require.Equal(t, "Now playing by LL-HLS: this browser has no WebRTC", note)
}

// While its camera is away the player keeps its picture, says what it waits for, and goes on by itself.
func TestPlayerWaitsForItsCamera(t *testing.T) {
	farm, n, _ := oneCamera(t)
	p := openPage(t, n, "/watch/cam0")
	waitPlaying(t, p, "webrtc")
	cam := farm.Camera(0)
	require.NoError(t, cam.Set(camera.Fault{Freeze: true}))
	require.NoError(t, p.Wait(player+`.state === 'waiting'`, patience))
	require.NoError(t, p.Wait(`document.querySelector('watershed-player').shadowRoot.querySelector('.say:not([hidden]) p')?.textContent === 'Waiting for the camera'`, patience))
	require.NoError(t, cam.Set(camera.Fault{}))
	waitPlaying(t, p, "webrtc")
	require.NoError(t, p.WaitPictures(0, 10, patience))
}

func TestPlayerOnForeignPage(t *testing.T) {
	_, n, address := oneCamera(t)
	for _, via := range []string{"webrtc", "llhls"} {
		t.Run(via, func(t *testing.T) {
			p := open(t, address) // another origin
			require.NoError(t, p.Do(nil, "setContent", fmt.Sprintf(`<script src="%s/embed.js"></script><watershed-player stream="cam0" via="%s"></watershed-player>`, n.URL, via)))
			waitPlaying(t, p, via)
		})
	}
}

// say writes into the chat of a page and waits until the server has it.
func say(t *testing.T, p *browser.Page, text string) {
	t.Helper()
	require.NoError(t, p.Wait(`document.querySelector('.composer textarea')`, patience))
	require.NoError(t, p.Do(nil, "fill", ".composer textarea", text))
	require.NoError(t, p.Do(nil, "press", ".composer textarea", "Enter"))
	waitLast(t, p, text)
}

// waitLast waits until the chat ends with this line, and the server has it.
func waitLast(t *testing.T, p *browser.Page, last string) {
	t.Helper()
	require.NoError(t, p.Wait(fmt.Sprintf(`document.querySelector('.line:last-child:not([data-state]) p')?.textContent === %q`, last), patience))
}

func TestPagesChatAndKeepTheirHistory(t *testing.T) {
	_, n, _ := oneCamera(t)
	ann, ben := openPage(t, n, "/watch/cam0"), openPage(t, n, "/watch/cam0")
	say(t, ann, "good morning")
	waitLast(t, ben, "good morning")
	say(t, ben, "早上好")
	waitLast(t, ann, "早上好")
	late := openPage(t, n, "/watch/cam0")
	waitLast(t, late, "早上好")
	for _, p := range []*browser.Page{ann, ben, late} {
		var lines []string
		require.NoError(t, p.Eval(`[...document.querySelectorAll('.line p')].map(e => e.textContent)`, &lines))
		require.Equal(t, []string{"good morning", "早上好"}, lines)
	}
}

func TestHubShowsReasonsInWords(t *testing.T) {
	farm, n, _ := oneCamera(t)
	p := openPage(t, n, "/")
	badge := `document.querySelector('.card .state')?.textContent`
	require.NoError(t, p.Wait(badge+` === 'Live'`, patience))
	require.NoError(t, farm.Camera(0).Set(camera.Fault{Freeze: true}))
	require.NoError(t, p.Wait(badge+`?.includes('connected, but nothing arrives')`, patience))
}

func TestEmptyHubTellsHowToBegin(t *testing.T) {
	n, _ := newNode(t, func(*config.Config) {})
	p := openPage(t, n, "/")
	require.NoError(t, p.Wait(`document.querySelector('.empty pre')?.textContent.includes('source: rtsp://')`, patience))
}

func TestPublishPageIsSeenOnWatchPage(t *testing.T) {
	n, _ := newNode(t, func(*config.Config) {})
	p := openPage(t, n, "/publish/mine")
	require.NoError(t, p.Wait(`document.querySelector('.panel .primary:not(:disabled)')`, patience))
	require.NoError(t, p.Do(nil, "click", ".panel .primary"))
	require.NoError(t, p.Wait(`document.querySelector('.on-air')?.dataset.on === 'true'`, patience))
	viewer := openPage(t, n, "/watch/mine")
	waitPlaying(t, viewer, "webrtc")
}

func TestPeopleInARoomSeeEachOther(t *testing.T) {
	n, _ := newNode(t, func(*config.Config) {})
	var people []*browser.Page
	for _, name := range []string{"Ann", "Ben", "李雷"} {
		p := openPage(t, n, "/room/kitchen")
		require.NoError(t, p.Wait(`document.querySelector('.mirror video')?.videoWidth`, patience))
		require.NoError(t, p.Do(nil, "fill", ".panel input", name))
		require.NoError(t, p.Do(nil, "click", ".panel .primary"))
		people = append(people, p)
	}
	shown := func(n int) string {
		return fmt.Sprintf(`(v => v.length === %d && v.every(e => e.videoWidth && e.currentTime > 0))([...document.querySelectorAll('.tile video')])`, n)
	}
	for _, p := range people {
		require.NoError(t, p.Wait(shown(3), patience))
	}
	require.NoError(t, people[2].Do(nil, "click", ".hang-up"))
	for _, p := range people[:2] {
		require.NoError(t, p.Wait(shown(2), patience))
		require.Empty(t, complaints(p))
	}
}
