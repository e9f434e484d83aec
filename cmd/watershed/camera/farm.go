package camera

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"golang.org/x/sync/errgroup"
)

// Config of a farm.
type Config struct {
	N      int    // cameras, named cam0 and so on
	Listen string // RTSP over TCP, and UDP to whoever asks
	Clip   string // that all show; "" gives each its own in turn
	Audio  string // what the cameras sound like, in turn, with commas: opus, aac, pcmu, none; "" is none
	Log    *slog.Logger
}

// Farm serves cameras on one RTSP port.
type Farm struct {
	cfg     Config
	server  *gortsplib.Server
	cameras []*Camera
	addr    net.Addr

	mu     sync.Mutex // guards what follows
	clips  map[string]*clip
	sounds map[string]*sound
}

// demoClips are shown in turn; "bframes" only as a fault.
var demoClips = []string{"river", "coast", "lake"}

// New loads what the farm shows and opens its port.
func New(cfg Config) (*Farm, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f := &Farm{cfg: cfg, clips: map[string]*clip{}, sounds: map[string]*sound{}}
	f.server = &gortsplib.Server{Handler: f, RTSPAddress: cfg.Listen, WriteQueueSize: 1024, Listen: f.listen}
	for i := range cfg.N {
		name := cfg.Clip
		if name == "" {
			name = demoClips[i%len(demoClips)]
		}
		c, err := f.clip(name)
		if err != nil {
			return nil, err
		}
		camera := newCamera(f, i, fmt.Sprintf("cam%d", i), name, c)
		if camera.sound, err = f.sound(f.audio(i)); err != nil {
			return nil, err
		}
		f.cameras = append(f.cameras, camera)
	}
	if err := f.server.Start(); err != nil {
		return nil, fmt.Errorf("camera farm on %s: %w", cfg.Listen, err)
	}
	for _, c := range f.cameras {
		if err := c.open(); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// Camera by number.
func (f *Farm) Camera(i int) *Camera { return f.cameras[i] }

func (f *Farm) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err == nil {
		f.addr = l.Addr()
	}
	return l, err
}

// URL of a camera on this machine.
func (f *Farm) URL(i int) string {
	return fmt.Sprintf("rtsp://127.0.0.1:%d/%s", f.addr.(*net.TCPAddr).Port, f.cameras[i].name)
}

func (f *Farm) clip(name string) (*clip, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clips[name]; c != nil {
		return c, nil
	}
	c, err := loadClip(name)
	if err == nil {
		f.clips[name] = c
	}
	return c, err
}

// audio is the name of what a camera sounds like.
func (f *Farm) audio(i int) string {
	names := strings.Split(f.cfg.Audio, ",")
	if name := strings.TrimSpace(names[i%len(names)]); name != "" {
		return name
	}
	return "none"
}

// sound is shared by all cameras that have it; nil for "none".
func (f *Farm) sound(name string) (*sound, error) {
	if name == "none" {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sounds[name]; s != nil {
		return s, nil
	}
	s, err := loadSound(name)
	if err == nil {
		f.sounds[name] = s
	}
	return s, err
}

// Run sends pictures until ctx ends.
func (f *Farm) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range f.cameras {
		g.Go(func() error { c.run(ctx.Done()); return nil })
		if c.sound != nil {
			g.Go(func() error { newSoundSender(c).run(ctx.Done()); return nil })
		}
	}
	g.Go(func() error {
		<-ctx.Done()
		f.close()
		return nil
	})
	g.Go(func() error {
		if err := f.server.Wait(); ctx.Err() == nil {
			return err
		}
		return nil
	})
	return g.Wait()
}

func (f *Farm) close() {
	f.server.Close()
	for _, c := range f.cameras {
		c.mu.Lock()
		if c.stream != nil {
			c.stream.Close()
		}
		c.mu.Unlock()
	}
}

func (f *Farm) find(path string) *Camera {
	name := strings.Trim(path, "/")
	for _, c := range f.cameras {
		if c.name == name {
			return c
		}
	}
	return nil
}

func reply(code base.StatusCode) *base.Response { return &base.Response{StatusCode: code} }

// admit says whether a camera takes one more session.
func (f *Farm) admit(path string) (*Camera, *base.Response) {
	c := f.find(path)
	if c == nil {
		return nil, reply(base.StatusNotFound)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fault.Stop, c.stream == nil: // or not open yet
		return nil, reply(base.StatusServiceUnavailable)
	case c.fault.MaxSessions > 0 && len(c.sessions) >= c.fault.MaxSessions:
		return nil, reply(base.StatusNotEnoughBandwidth)
	}
	return c, reply(base.StatusOK)
}

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (f *Farm) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	c, res := f.admit(ctx.Path)
	if c == nil {
		return res, nil, nil
	}
	return res, c.stream, nil
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (f *Farm) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	c, res := f.admit(ctx.Path)
	if c == nil {
		return res, nil, nil
	}
	return res, c.stream, nil
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (f *Farm) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	c, res := f.admit(ctx.Path)
	if c == nil {
		return res, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions[ctx.Session] = struct{}{}
	c.opened++
	ctx.Session.SetUserData(c)
	f.cfg.Log.Debug("session opened", "camera", c.name, "sessions", len(c.sessions))
	return res, nil
}

// OnSessionClose implements gortsplib.ServerHandlerOnSessionClose.
func (f *Farm) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	c, ok := ctx.Session.UserData().(*Camera)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, ctx.Session)
}

// Control is the farm's HTTP face: GET / lists the cameras, PUT /cam0 with a Fault as JSON sets it.
func (f *Farm) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		all := []Info{}
		for _, c := range f.cameras {
			all = append(all, c.Info())
		}
		writeJSON(w, all)
	})
	mux.HandleFunc("GET /{camera}", f.withCamera(func(w http.ResponseWriter, _ *http.Request, c *Camera) { writeJSON(w, c.Info()) }))
	mux.HandleFunc("PUT /{camera}", f.withCamera(func(w http.ResponseWriter, r *http.Request, c *Camera) {
		var fault Fault
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
		d.DisallowUnknownFields()
		err := d.Decode(&fault)
		if err == nil {
			err = c.Set(fault)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, c.Info())
	}))
	return mux
}

func (f *Farm) withCamera(do func(http.ResponseWriter, *http.Request, *Camera)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := f.find(r.PathValue("camera"))
		if c == nil {
			http.Error(w, "no such camera", http.StatusNotFound)
			return
		}
		do(w, r, c)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*") // a test page reads the clock of a farm elsewhere
	json.NewEncoder(w).Encode(v)
}

var (
	_ gortsplib.ServerHandlerOnDescribe     = (*Farm)(nil)
	_ gortsplib.ServerHandlerOnSetup        = (*Farm)(nil)
	_ gortsplib.ServerHandlerOnPlay         = (*Farm)(nil)
	_ gortsplib.ServerHandlerOnSessionClose = (*Farm)(nil)
)
