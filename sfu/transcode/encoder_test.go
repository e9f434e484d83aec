package transcode

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

var update = flag.Bool("update", false, "write the golden file anew")

// everyEncoder has one of each kind, software first.
func everyEncoder() []*encoder {
	all := []*encoder{software}
	for _, e := range hardware() {
		all = append(all, e.on("/dev/dri/renderD128"))
	}
	return all
}

// TestArguments compares the command lines for all encoders with those that are kept.
func TestArguments(t *testing.T) {
	f := &FFmpeg{modern: true}
	from := &media.Config{Codec: media.H264, ClockRate: 90000, Width: 1920, Height: 1080, FPS: 25}
	unknown := &media.Config{Codec: media.VP8, ClockRate: 90000}
	to := &media.Config{Codec: media.H264}
	var got strings.Builder
	for _, e := range everyEncoder() {
		for _, c := range []struct {
			name string
			args []string
		}{
			{"trial", f.tryArgs(e)},
			{"ladder", f.ladderArgs(from, []int{720, 360}, 500*time.Millisecond, e)},
			{"conversion", f.convertArgs(unknown, to, 0, e)},
		} {
			fmt.Fprintf(&got, "%v, %s:\n%s\n\n", e, c.name, strings.ReplaceAll(strings.Join(c.args, " "), " -", "\n\t-"))
		}
	}
	golden := filepath.Join("testdata", "arguments.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// TestOptionsAreKnown to the FFmpeg of this machine, for those encoders that it has: their devices are not needed for that.
func TestOptionsAreKnown(t *testing.T) {
	f := found(t)
	for _, e := range everyEncoder() {
		if !f.encoders[e.name] {
			continue
		}
		help, err := exec.Command(f.path, "-hide_banner", "-h", "encoder="+e.name).Output()
		require.NoError(t, err)
		require.Zero(t, len(e.options)%2)
		for i := 0; i < len(e.options); i += 2 {
			name, _, _ := strings.Cut(e.options[i], ":")
			if name == "-sc_threshold" { // of encoders in general
				continue
			}
			_, about, ok := strings.Cut(string(help), "  "+name+" ")
			require.True(t, ok, "%v has no %s", e, name)
			if value := e.options[i+1]; strings.Trim(value, "0123456789") != "" && !strings.Contains(strings.SplitN(about, "\n  -", 2)[0], "<string>") {
				require.Contains(t, strings.SplitN(about, "\n  -", 2)[0], "     "+value+" ", "%v %s", e, name)
			}
		}
	}
}

// TestTrialOnThisMachine: each encoder that FFmpeg has here either works or says what its device lacks, and does not complain about the command line.
func TestTrialOnThisMachine(t *testing.T) {
	f := found(t)
	for _, e := range everyEncoder() {
		if !f.encoders[e.name] {
			continue
		}
		err := f.try(t.Context(), e, tryTime)
		t.Log(e, err)
		if !e.hard() {
			require.NoError(t, err)
		} else if err != nil {
			require.NotRegexp(t, `(?i)option .*(not found|value)|undefined|unrecognized|syntax|filter`, err.Error())
		}
	}
}
