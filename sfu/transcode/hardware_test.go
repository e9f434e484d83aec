package transcode

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// What a stand-in for an encoder does with the command line of a child, whose words are in $*. It works when nothing is said: libx264 makes what
// the device would.
const (
	works    = ":"
	broken   = `echo "[$name] Cannot load libcuda.so.1" >&2; exit 1`
	mute     = `cat >/dev/null; exit`
	loose    = `drop="$drop -force_key_frames"`                                                                       // no keyframe on demand
	fancy    = `profile=high`                                                                                         // not what every browser decodes
	shuffles = `profile=main bf=2`                                                                                    // out of order
	full     = `case "$*" in *lavfi*) ;; *) echo "OpenEncodeSessionEx failed: out of memory (10)" >&2; exit 1;; esac` // works, but only while tried
	deaf     = `case "$*" in *lavfi*) ;; *) cat >/dev/null; exit;; esac`
)

// devices that are there.
type devices map[string][]string

func (d devices) glob(pattern string) ([]string, error) { return d[pattern], nil }

var (
	nvidia = devices{"/dev/nvidiactl": {"/dev/nvidiactl"}}
	render = devices{"/dev/dri/renderD*": {"/dev/dri/renderD128", "/dev/dri/renderD129"}}
)

// stand has Find find an FFmpeg that lists hardware encoders. It runs the real one, with libx264 in the place of each; what else an encoder does is a line
// of shell. ran tells with which of them children went on to make pictures; those that were tried have a question mark.
func stand(t *testing.T, manners map[string]string) (f *FFmpeg, ran func() []string) {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	require.NoError(t, err)
	dir := t.TempDir()
	var list, cases strings.Builder
	for name, does := range manners {
		fmt.Fprintf(&list, " V....D %s  %s\n", name, name)
		fmt.Fprintf(&cases, "\t\t%s) name=%s; %s;;\n", name, name, does)
	}
	script := strings.NewReplacer("REAL", path, "LOG", filepath.Join(dir, "log"), "LIST", list.String(), "CASES", cases.String()).Replace(standIn)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte(script), 0o700))
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	f = Find(context.Background())
	require.NoError(t, f.Err())
	return f, func() []string {
		all, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			return nil
		}
		return strings.Fields(string(all))
	}
}

const standIn = `#!/bin/sh
if [ "$1" = -encoders ]; then
	REAL -encoders | grep -v ' h264_'
	cat <<-'END'
LIST
	END
	exit
fi
name=
profile=baseline bf=0
drop="-init_hw_device -filter_hw_device -preset -tune -rc -rc_mode -idr_interval -async_depth -sei -zerolatency -delay -forced_idr -forced-idr -bf"
for a; do
	case "$a" in
CASES
	esac
done
[ "$name" ] || exec REAL "$@"
case "$*" in
*lavfi*) echo "$name?" >>LOG ;;
*) echo "$name" >>LOG ;;
esac
n=$#
while [ $n -gt 0 ]; do
	a=$1
	shift
	n=$((n - 1))
	case " $drop " in *" $a "*)
		shift
		n=$((n - 1))
		continue
		;;
	esac
	case "$a" in
	"$name") set -- "$@" libx264 -preset superfast -tune zerolatency -bf $bf -forced-idr 1 -threads 1 ;;
	baseline | constrained_baseline) set -- "$@" $profile ;;
	*hwupload*) set -- "$@" "$(printf %s "$a" | sed 's/,hwupload//g')" ;;
	*) set -- "$@" "$a" ;;
	esac
done
exec REAL "$@"
`

// book keeps what is logged.
type book struct {
	t  *testing.T
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *book) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *book) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// on returns a converter that finds the devices.
func (d devices) converter(t *testing.T, f *FFmpeg) (*Converter, *book) {
	log := &book{t: t}
	c := NewConverter(f, slog.New(slog.NewTextHandler(log, nil)))
	c.choice.glob = d.glob
	return c, log
}

// TestEncoderIsChosen: the best encoder that is listed, has a device and passes a trial; no other is tried, and none twice.
func TestEncoderIsChosen(t *testing.T) {
	both := devices{"/dev/nvidiactl": nvidia["/dev/nvidiactl"], "/dev/dri/renderD*": render["/dev/dri/renderD*"]}
	for _, c := range []struct {
		name    string
		listed  map[string]string
		devices devices
		want    string
		ran     []string
		why     string
	}{
		{"nothing is listed", nil, both, "libx264", nil, "without hardware encoders"},
		{"no device", map[string]string{"h264_nvenc": works, "h264_vaapi": works}, nil, "libx264", nil, "h264_nvenc has no device here; h264_vaapi has no device here"},
		{"the best", map[string]string{"h264_nvenc": works, "h264_vaapi": works}, both, "h264_nvenc", []string{"h264_nvenc?"}, ""},
		{"another's device", map[string]string{"h264_nvenc": works, "h264_vaapi": works}, render, "h264_vaapi on /dev/dri/renderD128", []string{"h264_vaapi?"}, "h264_nvenc has no device here"},
		{"the best is broken", map[string]string{"h264_nvenc": broken, "h264_vaapi": works}, both, "h264_vaapi on /dev/dri/renderD128", []string{"h264_vaapi?"}, "[h264_nvenc] Cannot load libcuda.so.1"},
		{"the second card", map[string]string{"h264_vaapi": `case "$*" in *renderD128*) exit 3;; esac`}, both, "h264_vaapi on /dev/dri/renderD129", []string{"h264_vaapi?"}, "h264_vaapi on /dev/dri/renderD128 fails: FFmpeg ended (exit status 3)"},
		{"one trial for all cards", map[string]string{"h264_qsv": works}, both, "h264_qsv", []string{"h264_qsv?"}, ""},
		{"no keyframe on demand", map[string]string{"h264_nvenc": loose}, both, "libx264", []string{"h264_nvenc?"}, "picture 5 is no keyframe"},
		{"another profile", map[string]string{"h264_nvenc": fancy}, both, "libx264", []string{"h264_nvenc?"}, "not every browser decodes"},
		{"out of order", map[string]string{"h264_nvenc": shuffles}, both, "libx264", []string{"h264_nvenc?"}, "out of order"},
		{"nothing comes out", map[string]string{"h264_nvenc": mute}, both, "libx264", nil, "it made nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leakCheck(t)
			f, ran := stand(t, c.listed)
			converter, log := c.devices.converter(t, f)
			for range 3 {
				require.Equal(t, c.want, converter.choice.encoder(t.Context(), "cam").String())
			}
			require.Equal(t, c.ran, ran())
			require.Equal(t, 1, log.count("encoder for pictures"))
			require.Equal(t, 1, log.count(c.want))
			require.Positive(t, log.count(c.why))
			require.Empty(t, children(t))
		})
	}
}

// TestTrialEnds: a driver that hangs is not waited for long, and who does not wait for the trial any more leaves it to the next.
func TestTrialEnds(t *testing.T) {
	leakCheck(t)
	begun := filepath.Join(t.TempDir(), "begun")
	f, _ := stand(t, map[string]string{"h264_nvenc": "echo >" + begun + "; exec sleep 60"})
	converter, log := nvidia.converter(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	chosen := make(chan *encoder, 1)
	go func() { chosen <- converter.choice.encoder(ctx, "cam") }()
	require.Eventually(t, func() bool { _, err := os.Stat(begun); return err == nil }, 30*time.Second, 10*time.Millisecond)
	cancel()
	require.Same(t, software, <-chosen)
	require.Zero(t, log.count("encoder for pictures"))
	converter.choice.limit = time.Second
	require.Same(t, software, converter.choice.encoder(t.Context(), "cam"))
	require.Equal(t, 1, log.count("h264_nvenc fails: it hangs"))
}

// TestSoundTriesNothing: without pictures to convert, no process is started for hardware.
func TestSoundTriesNothing(t *testing.T) {
	f, ran := stand(t, map[string]string{"h264_nvenc": works})
	converter, log := nvidia.converter(t, f)
	_, made := sessionBy(t, converter, encode(t, media.PCMU, click(8000, 2), "-af", "asetnsamples=160", "-c:a", "pcm_mulaw"), media.Opus)
	sequential(t, made)
	require.Empty(t, ran())
	require.Equal(t, 1, log.count("encoder=libopus"))
}

// TestHardwareFails while its encoder starts, or without a word: libx264 makes the pictures, and it is known why.
func TestHardwareFails(t *testing.T) {
	source := encode(t, media.H265, numbered(140), "-c:v", "libx265", "-x265-params", "keyint=50:bframes=0:log-level=none", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	for _, c := range []struct{ name, does, why string }{
		{"all sessions are taken", full, "the device opens no further session"},
		{"nothing comes out", deaf, "FFmpeg makes nothing of the source's media"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leakCheck(t)
			f, ran := stand(t, map[string]string{"h264_nvenc": c.does})
			converter, log := nvidia.converter(t, f)
			converter.silence = time.Second
			from, made := sessionBy(t, converter, source, media.H264)
			sequential(t, made)
			inTime(t, from, made)
			require.Equal(t, []string{"h264_nvenc?"}, ran())
			require.Equal(t, 1, log.count("hardware encoder failed"))
			require.Positive(t, log.count(c.why))
			remembered(t, converter.choice)
		})
	}
}

// remembered is what a choice knows after hardware failed at the stream cam: it rests, for that stream longer than for others.
func remembered(t *testing.T, c *choice) {
	t.Helper()
	later := func(d time.Duration) time.Time { return time.Now().Add(d) }
	require.False(t, c.allowed("cam", time.Now()))
	require.False(t, c.allowed("other", time.Now()))
	require.True(t, c.allowed("other", later(restTime)))
	require.False(t, c.allowed("cam", later(restTime)))
	require.True(t, c.allowed("cam", later(spareTime)))
}

// TestHardwareDies in the middle of a ladder: the rungs go on, by libx264.
func TestHardwareDies(t *testing.T) {
	leakCheck(t)
	f, ran := stand(t, map[string]string{"h264_nvenc": works})
	converter, log := nvidia.converter(t, f)
	c := encode(t, media.H264, numbered(500), "-s", "640x360", "-sws_flags", "neighbor", "-c:v", "libx264", "-g", "25", "-bf", "0", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(t, c.config, converter)
	r.sfu.Declare(r.stream.Name, sfu.Spec{Ladder: []string{"240p", "120p"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	require.NoError(t, r.stream.WaitLive(ctx))
	release := r.stream.Hold("test")
	rungs := r.rungs(ctx, 2)
	require.Len(t, children(t), 1)
	require.NoError(t, syscall.Kill(children(t)[0], syscall.SIGKILL))
	reader := rungs[1].Ring().ReadFrom(1)
	var frames []*media.Frame
	for log.count("encoder=libx264") == 0 || !frames[len(frames)-1].Keyframe {
		frame, err := reader.Next(ctx)
		require.NoError(t, err)
		frames = append(frames, frame)
	}
	sequential(t, frames)
	numbers(t, frames)
	require.Equal(t, rungs, r.rungs(ctx, 2), "nobody saw the rungs go")
	require.Len(t, children(t), 1)
	require.Equal(t, []string{"h264_nvenc?", "h264_nvenc"}, ran())
	require.Equal(t, 1, log.count("hardware encoder failed"))
	require.Zero(t, log.count("conversion failed"))
	require.Eventually(t, func() bool { return !converter.choice.allowed("cam", time.Now()) }, 30*time.Second, 10*time.Millisecond)
	remembered(t, converter.choice)
	release()
	cancel()
	<-playing
}

// TestSourceIsToBlame: what software cannot convert either is no failure of hardware.
func TestSourceIsToBlame(t *testing.T) {
	leakCheck(t)
	f, ran := stand(t, map[string]string{"h264_nvenc": works})
	converter, log := nvidia.converter(t, f)
	converter.silence = time.Second
	c := clip{config: media.Config{Codec: media.VP8, ClockRate: 90000}}
	for i := range int64(500) { // a keyframe's header (RFC 6386 section 9.1) that announces more than follows
		c.units = append(c.units, sfu.Unit{Parts: [][]byte{{0xf0, 0xff, 0xff, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00, 1, 2, 3}}, PTS: i * 3600})
	}
	r := newRig(t, c.config, nil)
	target := newRig(t, media.Config{Codec: media.H264, ClockRate: 90000}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	err := converter.Convert(ctx, r.stream.Track(media.Video).Layers()[0], target.writer)
	require.ErrorIs(t, err, errSilent)
	require.Equal(t, []string{"h264_nvenc?", "h264_nvenc"}, ran())
	require.Equal(t, 1, log.count("hardware encoder failed"))
	require.True(t, converter.choice.allowed("cam", time.Now()))
	cancel()
	<-playing
}
