// Package config reads watershed.yaml: every key optional, an unknown one an error that names its line.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/token"
)

// Config of a node. The zero value of a field that has a default means the default; Default has them all.
type Config struct {
	Data    string            `yaml:"data"` // folder of everything that must survive a restart
	HTTP    HTTP              `yaml:"http"`
	WebRTC  WebRTC            `yaml:"webrtc"`
	RTSP    Listener          `yaml:"rtsp"` // push in, media over UDP to the same port number if even and the next; an empty address turns a listener off, here and below
	RTMP    Listener          `yaml:"rtmp"`
	SRT     SRT               `yaml:"srt"`
	Metrics Listener          `yaml:"metrics"` // Prometheus and pprof
	Records Records           `yaml:"records"`
	Auth    Auth              `yaml:"auth"`
	HLS     HLS               `yaml:"hls"`
	Cluster Cluster           `yaml:"cluster"`
	Log     Log               `yaml:"log"`
	Streams map[string]Stream `yaml:"streams"` // declared state: applied at start, read-only in the API

	file   string // that it was read from
	places []place
}

// Listener is an address to listen on.
type Listener struct {
	Listen string `yaml:"listen"`
	TLS    TLS    `yaml:"tls"` // rtmp only: RTMPS on the same port
}

// SRT is the listener for those who push by SRT.
type SRT struct {
	Listen     string        `yaml:"listen"`
	Passphrase string        `yaml:"passphrase"` // 10 to 80 characters: then everybody must encrypt with it
	Latency    time.Duration `yaml:"latency"`    // at least; 120ms if left out. A caller may ask for more
}

// HTTP serves pages, API, WHIP, WHEP, WebSocket and HLS.
type HTTP struct {
	Listen  string   `yaml:"listen"`
	TLS     TLS      `yaml:"tls"`
	Origins []string `yaml:"origins"` // of other sites' pages that may open the WebSocket, such as https://example.org; "*" is all
}

// TLS of a listener. Without a certificate and ACME names it speaks plain text.
type TLS struct {
	Cert string   `yaml:"cert"` // PEM files
	Key  string   `yaml:"key"`
	ACME []string `yaml:"acme"` // host names to get certificates for
}

// WebRTC is the media port, UDP and TCP.
type WebRTC struct {
	Listen string       `yaml:"listen"`
	Public []netip.Addr `yaml:"public"` // addresses to announce in the place of the interfaces'
	Shards int          `yaml:"shards"` // sending goroutines; 0 is one per core
	TURN   TURN         `yaml:"turn"`
	Trace  string       `yaml:"trace"` // folder in which to record what viewers' networks report, see package sfu/bwe; "" does not
}

// TURN relays media for viewers whose network lets nothing else through.
type TURN struct {
	Listen string `yaml:"listen"` // UDP
	TLS    string `yaml:"tls"`    // TLS over TCP, with the certificate of http.tls
}

// Records that outgrow a log.
type Records struct {
	DSN string `yaml:"dsn"` // for a later version: must be empty
}

// Auth says who may do what.
type Auth struct {
	Mode     string            `yaml:"mode"`     // token, or open: everybody may do everything, on loopback only
	Secret   string            `yaml:"secret"`   // of HS256 tokens; "" makes one and keeps it in data
	JWKS     string            `yaml:"jwks"`     // URL of another issuer's keys
	Audience string            `yaml:"audience"` // that another issuer's tokens must have; "" takes all that have role, tenant, streams or rooms for us
	Claims   map[string]string `yaml:"claims"`   // paths of claims that another issuer puts elsewhere
}

// HLS timing, and how long recordings are kept. A stream may have a dvr, keep and keepSize of its own.
type HLS struct {
	Part    time.Duration `yaml:"part"`    // ceiling: PART-TARGET is the most whole frames below it
	Segment time.Duration `yaml:"segment"` // at least; segments start at keyframes
	Window  time.Duration `yaml:"window"`  // of the live playlist

	DVR      time.Duration `yaml:"dvr"`      // how far back the live playlist of a recording goes
	Keep     time.Duration `yaml:"keep"`     // recordings, such as 168h
	KeepSize Size          `yaml:"keepSize"` // of each stream's recording at most, such as 50GB; 0 is as much as the age allows
}

// Cluster of nodes.
type Cluster struct {
	Node   string   `yaml:"node"`   // name of this node; "" makes one and keeps it in data
	Listen string   `yaml:"listen"` // for a later version of several nodes: nothing listens yet
	Join   []string `yaml:"join"`   // likewise: must be empty
}

// Log of the node.
type Log struct {
	Format string `yaml:"format"` // text or json
	Level  string `yaml:"level"`  // debug, info, warn, error
}

// Stream as it is declared.
type Stream struct {
	Public bool          `yaml:"public"`
	Source string        `yaml:"source"` // short for the high layer of the first input
	Sub    string        `yaml:"sub"`    // that input's low layer
	Shield bool          `yaml:"shield"` // source is another origin's HLS playlist to cache
	Inputs []Input       `yaml:"inputs"`
	Backup []string      `yaml:"backup"`
	Demand bool          `yaml:"demand"`
	Idle   time.Duration `yaml:"idle"`
	Ladder []string      `yaml:"ladder"`
	Record bool          `yaml:"record"`

	DVR      time.Duration `yaml:"dvr"` // this and the next two: as in hls, for this stream
	Keep     time.Duration `yaml:"keep"`
	KeepSize Size          `yaml:"keepSize"`
}

// Input is one way to get a stream's media.
type Input struct {
	High string `yaml:"high"`
	Low  string `yaml:"low"`
}

// Default configuration.
func Default() Config {
	return Config{
		Data:    "./data",
		HTTP:    HTTP{Listen: ":8080"},
		WebRTC:  WebRTC{Listen: ":8189"},
		RTSP:    Listener{Listen: ":8554"},
		RTMP:    Listener{Listen: ":1935"},
		SRT:     SRT{Listen: ":8890"},
		Metrics: Listener{Listen: "127.0.0.1:9600"},
		Auth:    Auth{Mode: "token"},
		HLS:     HLS{Part: 350 * time.Millisecond, Segment: 2 * time.Second, Window: 30 * time.Second, DVR: 2 * time.Hour, Keep: 7 * 24 * time.Hour},
		Cluster: Cluster{Listen: ":8443"},
		Log:     Log{Format: "text", Level: "info"},
	}
}

// Load reads a file over the defaults. With an empty name it reads watershed.yaml if that is there.
func Load(file string) (Config, error) {
	cfg := Default()
	named := file != ""
	if !named {
		file = "watershed.yaml"
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return cfg, cfg.Check()
	}
	if err != nil {
		return cfg, fmt.Errorf("read configuration: %w", err)
	}
	cfg.file = file
	if err := cfg.parse(text); err != nil {
		return cfg, fmt.Errorf("%s:%w", file, err)
	}
	return cfg, cfg.Check()
}

func (c *Config) parse(text []byte) error {
	c.places = places(text)
	d := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	err := d.Decode(c)
	if err == nil || err.Error() == "EOF" { // an empty file is the defaults
		return nil
	}
	return explain(text, err)
}

// Check finds what cannot work, and says which key it is.
func (c *Config) Check() error {
	if err := c.checkAddresses(); err != nil {
		return err
	}
	bad := c.Bad
	for _, o := range c.HTTP.Origins {
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Scheme == "" || o != u.Scheme+"://"+u.Host) {
			return bad("http.origins", "%q is not an origin such as https://example.org", o)
		}
	}
	if err := token.Paths(c.Auth.Claims).Check(); err != nil {
		return bad("auth.claims", "%v", err)
	}
	switch {
	case len(c.Cluster.Join) > 0:
		return bad("cluster.join", "this version runs a cluster of one; leave it out")
	case c.Records.DSN != "":
		return bad("records.dsn", "this version keeps no records outside its data folder; leave it out")
	case c.Auth.Mode != "token" && c.Auth.Mode != "open":
		return bad("auth.mode", "%q: use token or open", c.Auth.Mode)
	case c.Auth.Mode == "open" && !loopback(c.HTTP.Listen):
		return bad("auth.mode", "open lets everybody do everything, so http.listen must be a loopback address such as 127.0.0.1:8080, not %q", c.HTTP.Listen)
	case c.Auth.Secret != "" && len(c.Auth.Secret) < 16:
		return bad("auth.secret", "shorter than 16 characters; leave it out to have one made")
	case c.HLS.Part < 50*time.Millisecond || c.HLS.Part > 2*time.Second:
		return bad("hls.part", "%v: use 50ms to 2s", c.HLS.Part)
	case c.HLS.Segment < time.Second || c.HLS.Segment > 10*time.Second:
		return bad("hls.segment", "%v: use 1s to 10s", c.HLS.Segment)
	case c.HLS.Window < 6*c.HLS.Segment:
		return bad("hls.window", "%v: at least 6 segments, %v", c.HLS.Window, 6*c.HLS.Segment)
	case checkKept(c.HLS.DVR, c.HLS.Keep, c.HLS.KeepSize) != nil:
		return bad("hls", "%v", checkKept(c.HLS.DVR, c.HLS.Keep, c.HLS.KeepSize))
	case (c.HTTP.TLS.Cert == "") != (c.HTTP.TLS.Key == ""):
		return bad("http.tls", "cert and key go together")
	case (c.RTMP.TLS.Cert == "") != (c.RTMP.TLS.Key == ""):
		return bad("rtmp.tls", "cert and key go together")
	case c.WebRTC.Shards < 0 || c.WebRTC.Shards > maxShards:
		return bad("webrtc.shards", "%d: use 1 to %d, or 0 for one per core", c.WebRTC.Shards, maxShards)
	case c.SRT.Passphrase != "" && (len(c.SRT.Passphrase) < 10 || len(c.SRT.Passphrase) > 80):
		return bad("srt.passphrase", "use 10 to 80 characters")
	case c.SRT.Latency < 0:
		return bad("srt.latency", "%v is less than nothing", c.SRT.Latency)
	case new(slog.Level).UnmarshalText([]byte(c.Log.Level)) != nil:
		return bad("log.level", "%q: use debug, info, warn or error", c.Log.Level)
	case c.Log.Format != "text" && c.Log.Format != "json":
		return bad("log.format", "%q: use text or json", c.Log.Format)
	}
	for name, s := range c.Streams {
		if _, err := id.ParseStream(name); err != nil || strings.Contains(name, "+") {
			return bad("streams."+name, "not a stream name: use 1 to 63 of a-z 0-9 . _ - and start with a letter or digit")
		}
		if err := s.check(); err != nil {
			return bad("streams."+name, "%v", err)
		}
	}
	return nil
}

// Bad is an error that says where a key of the configuration is, and what is wrong with it.
func (c *Config) Bad(key, format string, args ...any) error {
	text := key + ": " + fmt.Sprintf(format, args...)
	if c.file == "" {
		return errors.New(text)
	}
	return fmt.Errorf("%s:%s %s", c.file, lineOf(c.places, key), text)
}

func (c *Config) checkAddresses() error {
	for key, addr := range map[string]string{
		"http.listen": c.HTTP.Listen, "webrtc.listen": c.WebRTC.Listen, "rtsp.listen": c.RTSP.Listen, "rtmp.listen": c.RTMP.Listen,
		"srt.listen": c.SRT.Listen, "metrics.listen": c.Metrics.Listen, "cluster.listen": c.Cluster.Listen,
		"webrtc.turn.listen": c.WebRTC.TURN.Listen, "webrtc.turn.tls": c.WebRTC.TURN.TLS,
	} {
		if addr == "" && key != "http.listen" && key != "webrtc.listen" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return c.Bad(key, "%q is not host:port, for example \":8080\"", addr)
		}
	}
	return nil
}

// maxShards is more than any machine has use for: each is a socket and a goroutine.
const maxShards = 1024

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, parse := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || parse == nil && ip.IsLoopback())
}

func (s *Stream) check() error {
	if s.Source != "" && len(s.Inputs) > 0 {
		return errors.New("source and inputs: use one of them")
	}
	if s.Sub != "" && s.Source == "" {
		return errors.New("sub needs source")
	}
	if s.Idle < 0 {
		return fmt.Errorf("idle: %v is less than nothing", s.Idle)
	}
	if s.Demand && !s.Shield && len(s.inputs()) == 0 {
		return errors.New("demand: only a stream with a source can be pulled on demand")
	}
	for _, r := range s.Ladder {
		if _, err := sfu.ParseRung(r); err != nil {
			return fmt.Errorf("ladder: %w", err)
		}
	}
	if err := checkKept(cmp.Or(s.DVR, sfu.LeastKept), cmp.Or(s.Keep, sfu.LeastKept), s.KeepSize); err != nil {
		return err
	}
	for _, in := range s.inputs() {
		for _, raw := range []string{in.High, in.Low} {
			if raw == "" {
				continue
			}
			u, err := url.Parse(raw)
			if err != nil || u.Scheme == "" || u.Host == "" {
				return fmt.Errorf("input %s: not a URL such as rtsp://10.0.0.5/stream", sfu.Redact(raw))
			}
		}
	}
	return nil
}

func checkKept(dvr, keep time.Duration, size Size) error {
	switch {
	case dvr < sfu.LeastKept || dvr > sfu.LongestDVR:
		return fmt.Errorf("dvr: %v: use %v to %v", dvr, sfu.LeastKept, sfu.LongestDVR)
	case keep < sfu.LeastKept:
		return fmt.Errorf("keep: %v: at least %v", keep, sfu.LeastKept)
	case size != 0 && size < sfu.LeastKeptSize:
		return fmt.Errorf("keepSize: %v: at least %v, or 0 for no limit", size, Size(sfu.LeastKeptSize))
	}
	return nil
}

func (s *Stream) inputs() []sfu.Input {
	if s.Shield { // the HLS bridge fetches it, request by request
		return nil
	}
	var in []sfu.Input
	if s.Source != "" {
		in = append(in, sfu.Input{High: s.Source, Low: s.Sub})
	}
	for _, i := range s.Inputs {
		in = append(in, sfu.Input{High: i.High, Low: i.Low})
	}
	for _, b := range s.Backup {
		in = append(in, sfu.Input{High: b})
	}
	return in
}

// Spec of the stream for the media plane.
func (s *Stream) Spec() sfu.Spec {
	return sfu.Spec{
		Public: s.Public, Inputs: s.inputs(), Demand: s.Demand, Idle: s.Idle, Ladder: s.Ladder, Record: s.Record,
		DVR: s.DVR, Keep: s.Keep, KeepSize: int64(s.KeepSize),
	}
}
