package transcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// FFmpeg is the program as it was found on this machine.
type FFmpeg struct {
	Version string // as it says itself

	path     string
	encoders map[string]bool
	decoders map[string]bool
	modern   bool // knows -fps_mode (5.1 and later)
	missing  error
}

// ErrNoFFmpeg is what everything here fails with when the program is not there.
var ErrNoFFmpeg = errors.New("FFmpeg is not installed here (apt-get install ffmpeg), so nothing can be converted and there are no pictures of streams")

// askTime is for a program that hangs. A machine that has just been started and is busy with all its services needs ten seconds and more to load
// FFmpeg's libraries, and what was not found then is not looked for again.
const askTime = 30 * time.Second

// Find looks for ffmpeg in PATH once and asks what it can do. It always returns a value: without the program, Err says so.
func Find(ctx context.Context) *FFmpeg {
	f := &FFmpeg{}
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		f.missing = ErrNoFFmpeg
		return f
	}
	f.path = path
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := f.ask(ctx); err != nil {
		f.missing = fmt.Errorf("FFmpeg at %s does not run: %w", path, err)
	}
	return f
}

// ask runs the program three times at once: its start takes longer than its answers.
func (f *FFmpeg) ask(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	var version, encoders, decoders string
	for option, answer := range map[string]*string{"-version": &version, "-encoders": &encoders, "-decoders": &decoders} {
		g.Go(func() error {
			cmd := exec.CommandContext(ctx, f.path, option)
			cmd.Env = environment(false)
			out, err := cmd.Output()
			*answer = string(out)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	line, _, _ := strings.Cut(version, "\n")
	f.Version, _, _ = strings.Cut(strings.TrimPrefix(line, "ffmpeg version "), " ")
	f.modern = modern(f.Version)
	f.encoders, f.decoders = names(encoders), names(decoders)
	return nil
}

// Err is nil when there is a usable FFmpeg.
func (f *FFmpeg) Err() error { return f.missing }

// modern reports whether a version is 5.1 or later; those built from a branch have no number and are taken as later.
func modern(version string) bool {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "n"), ".")
	a, err := strconv.Atoi(major)
	if err != nil {
		return true
	}
	minor := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	b, _ := strconv.Atoi(minor)
	return a > 5 || a == 5 && b >= 1
}

// names reads the lists that -encoders and -decoders print: flags, name, description.
func names(list string) map[string]bool {
	found := map[string]bool{}
	_, list, _ = strings.Cut(list, "------\n")
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) >= 2 {
			found[f[1]] = true
		}
	}
	return found
}

// environment of a child: what it needs to start, and none of our secrets. One that talks to a device also gets what tells its driver which one to
// take, and drivers keep no cache in a home that may not be ours.
func environment(device bool) []string {
	env := []string{"LC_ALL=C"}
	keys := []string{"PATH", "LD_LIBRARY_PATH"}
	if device {
		env = append(env, "CUDA_CACHE_DISABLE=1", "MESA_SHADER_CACHE_DISABLE=true")
		keys = append(keys, "CUDA_VISIBLE_DEVICES", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH")
	}
	for _, k := range keys {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// child is one running FFmpeg, between two pipes.
type child struct {
	cmd    *exec.Cmd
	in     interface{ Write([]byte) (int, error) }
	out    interface{ Read([]byte) (int, error) }
	close  func() error // ends its input
	stderr tail
}

// confinement of a child.
type confinement struct {
	niceness int
	device   bool // it talks to a driver, which takes more than FFmpeg by itself
}

// start runs FFmpeg with media on its standard input and output until ctx ends. wait must be called.
func (f *FFmpeg) start(ctx context.Context, within confinement, args []string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, f.path, append([]string{"-hide_banner", "-nostdin", "-v", "error"}, args...)...)}
	c.cmd.Env = environment(within.device)
	c.cmd.Dir = os.TempDir()
	c.cmd.Stderr = &c.stderr
	c.cmd.WaitDelay = 2 * time.Second
	ownGroup(c.cmd)
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start FFmpeg: %w", err)
	}
	confine(c.cmd.Process.Pid, within)
	c.in, c.out, c.close = in, out, in.Close
	return c, nil
}

// wait returns when the child is gone, with its own words if it failed. All output must have been read before.
func (c *child) wait() error {
	err := c.cmd.Wait()
	if err == nil {
		return nil
	}
	return &Failure{Exit: err, Words: c.stderr.String()}
}

// Failure is how an FFmpeg child ended, and what it said last.
type Failure struct {
	Exit  error
	Words string
}

func (e *Failure) Error() string {
	words := e.Words
	if words == "" {
		words = "it said nothing"
	}
	if s := e.summary(); s != "" {
		return fmt.Sprintf("FFmpeg: %s (%v: %s)", s, e.Exit, words)
	}
	return fmt.Sprintf("FFmpeg ended (%v): %s", e.Exit, words)
}

func (e *Failure) Unwrap() error { return e.Exit }

// summary finds the words for the failures that are known.
func (e *Failure) summary() string {
	for _, known := range []struct{ sign, meaning string }{
		{"Unknown encoder", "this build has not the encoder that is needed"},
		{"Unknown decoder", "this build has not the decoder that is needed"},
		{"OpenEncodeSessionEx failed", "the device opens no further session"}, // consumer cards take a few at a time
		{"Cannot allocate memory", "the picture needs more memory than a conversion may take"},
		{"Error while opening encoder", "the encoder does not take what the source decodes to"},
		{"Invalid data found", "the source's media cannot be decoded"},
		{"Error initializing", "the source's media has a form that cannot be converted"},
	} {
		if strings.Contains(e.Words, known.sign) {
			return known.meaning
		}
	}
	if strings.Contains(e.Exit.Error(), "signal: killed") {
		return "it was killed, by an operator or for lack of memory"
	}
	return ""
}

// tail keeps the end of what is written to it. exec writes and is done before wait returns.
type tail struct{ b []byte }

// tailSize is enough for the last three or four lines.
const tailSize = 600

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 4*tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

// String is the last lines as one.
func (t *tail) String() string {
	b := t.b
	if len(b) > tailSize {
		b = b[len(b)-tailSize:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	lines := strings.FieldsFunc(strings.ToValidUTF8(string(b), "?"), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, "; ")
}
