package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e"
	"watershed/cmd/watershed/e2e/browser"
)

// liveLadder has hls.js play what a node's FFmpeg makes of a 720p camera: the camera's own picture, 480p and 360p. The player is told to change its rung every
// ten seconds, because on a machine that encodes, decodes and shows, bandwidth is not what is scarce.
func liveLadder(ctx context.Context, b *browser.Browser, long time.Duration) (err error) {
	fmt.Println("\nhls.js, a ladder that FFmpeg makes live")
	folder, err := os.MkdirTemp("", "watershed-abr-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	farm, err := camera.New(camera.Config{N: 1, Listen: "127.0.0.1:0", Clip: "river"})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- farm.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()
	binary, err := e2e.Build(folder)
	if err != nil {
		return err
	}
	c := e2e.Config(filepath.Join(folder, "node"))
	c.Streams = map[string]config.Stream{"live": {Public: true, Source: farm.URL(0), Ladder: []string{"480p", "360p"}}}
	node, err := e2e.Start(binary, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop(10*time.Second)) }()
	address, end, err := e2e.Pages(node.URL)
	if err != nil {
		return err
	}
	defer end()
	if err := full(ctx, node.URL+"/hls/live/v0.m3u8"); err != nil {
		return err
	}
	v := &viewer{name: "live", player: "hls.js", src: address + "/hls/live/index.m3u8"}
	if err := v.open(b, address); err != nil {
		return err
	}
	return v.switchRungs(ctx, long)
}

// switchRungs goes through the rungs by hand.
func (v *viewer) switchRungs(ctx context.Context, long time.Duration) error {
	defer v.page.Close()
	for i := range max(3, int(long/(10*time.Second))) {
		// As the menu of our own player does it.
		pick := fmt.Sprintf("player.autoLevelCapping = %d %% player.levels.length, player.config.minAutoBitrate = player.levels[player.autoLevelCapping].maxBitrate", i)
		if err := v.page.Eval(pick, nil); err != nil {
			return err
		}
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var s seen
	if err := v.page.Eval("seen", &s); err != nil {
		return err
	}
	shown, err := v.page.Pictures(0)
	if err != nil {
		return err
	}
	j := &verdict{}
	v.judgeErrors(j, &s)
	v.judgeStalls(j, &s, shown)
	heights := map[float64]bool{}
	for _, h := range s.Heights {
		heights[h[1]] = true
	}
	if len(heights) != 3 {
		j.fault("%d of 3 rungs were shown: %v", len(heights), heightsOf(&s))
	}
	j.note("%d switches: %v", len(s.Heights)-1, heightsOf(&s))
	if !j.print() {
		return errFaults
	}
	return nil
}

// full waits until a playlist lists some segments with pictures in them: this is about a stream that runs, not about one that begins.
func full(ctx context.Context, playlist string) error {
	for ctx.Err() == nil {
		text, err := read(ctx, playlist)
		if err != nil {
			return err
		}
		if strings.Count(text, "#EXTINF")-strings.Count(text, "#EXT-X-GAP") >= 5 {
			return nil
		}
		time.Sleep(time.Second)
	}
	return ctx.Err()
}

func read(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, res.Body); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		return "", fmt.Errorf("%s: %s", url, res.Status)
	}
	return b.String(), nil
}
