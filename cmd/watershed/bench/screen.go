package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e"
	"watershed/cmd/watershed/e2e/browser"
)

const (
	gop     = 4 * time.Second // of the clips: loads come at any moment of it
	settled = 25              // pictures before delays count: one second
	watched = 75              // pictures a load is watched for after that
)

// seen is what page loads showed.
type seen struct {
	first, delays []float64 // ms
	unread        int
}

// loads opens a page n times, each in an empty browser profile, at random moments.
func (b *bench) loads(br *browser.Browser, url string, cam camera.Info, n int) (*seen, error) {
	s := &seen{}
	for range n {
		if err := b.sleep(rand.N(gop)); err != nil {
			return nil, err
		}
		p, err := br.Open(url, nil)
		if err != nil {
			return nil, err
		}
		err = s.watch(p, cam)
		if err = errors.Join(err, p.Close()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *seen) watch(p *browser.Page, cam camera.Info) error {
	if err := p.WaitPictures(0, settled+watched, patience); err != nil {
		return err
	}
	shown, err := p.Pictures(0)
	if err != nil {
		return err
	}
	s.first = append(s.first, shown.First)
	s.delays = append(s.delays, shown.Delays(cam, settled)...)
	s.unread += shown.Unread
	return nil
}

// goals of a way to watch, in ms.
type goals struct{ first, p50, p95 float64 }

func (b *bench) report(who string, s *seen, g goals) {
	b.figure(who+", first picture p95", g.first, browser.Quantile(s.first, .95), "ms")
	b.figure(who+", delay p50", g.p50, browser.Quantile(s.delays, .5), "ms")
	b.figure(who+", delay p95", g.p95, browser.Quantile(s.delays, .95), "ms")
	b.note(who+", first picture p50 / max", "%.0f / %.0f ms, %d loads, %d pictures, %d unreadable",
		browser.Quantile(s.first, .5), browser.Quantile(s.first, 1), len(s.first), len(s.delays), s.unread)
}

// onScreen runs pages against one 720p camera. A first load that does not count warms up Chromium and the stream.
func (b *bench) onScreen(change func(*config.Config), measure func(br *browser.Browser, address string, cam camera.Info) error) (err error) {
	s, err := b.start(1, "river", change)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	address, end, err := e2e.Pages(s.node.URL)
	if err != nil {
		return err
	}
	defer end()
	br, err := b.chromium()
	if err != nil {
		return err
	}
	defer br.Close()
	return measure(br, address, s.farm.Camera(0).Info())
}

// pages measures addresses on one set-up.
func (b *bench) pages(change func(*config.Config), n int, g goals, pages ...[2]string) error {
	return b.onScreen(change, func(br *browser.Browser, address string, cam camera.Info) error {
		for _, p := range pages {
			who, url := p[0], address+p[1]
			if _, err := b.loads(br, url, cam, 1); err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
			s, err := b.loads(br, url, cam, n)
			if err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
			b.report(who, s, g)
		}
		return nil
	})
}

func webrtc(b *bench) error {
	return b.pages(nil, 20, goals{300, 40, 60}, [2]string{"/watch", "/watch/cam0?via=webrtc"}, [2]string{"smallest WHEP page", "/e2e/whep?stream=cam0"})
}

func llhls(b *bench) error {
	err := b.pages(func(c *config.Config) { c.HLS.Part = 150 * time.Millisecond }, 10, goals{300, 700, 750},
		[2]string{"/watch, part 150ms", "/watch/cam0?via=llhls"})
	if err != nil {
		return err
	}
	return b.pages(nil, 10, goals{300, 1350, 1450}, [2]string{"/watch, part 350ms", "/watch/cam0?via=llhls"})
}
