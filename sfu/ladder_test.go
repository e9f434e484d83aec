package sfu

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

func TestLayersAreArranged(t *testing.T) {
	layer := func(label string, height int, edit func(*Layer)) *Layer {
		l := &Layer{Label: label}
		l.config.Store(&media.Config{Height: height})
		edit(l)
		return l
	}
	rung := func(n int) func(*Layer) { return func(l *Layer) { l.Converted, l.rung = true, n } }
	plain, converted, low := func(*Layer) {}, func(l *Layer) { l.Converted = true }, func(l *Layer) { l.part = LowPart }
	for want, layers := range map[string][]*Layer{
		"main 720p 480p":               {layer("480p", 480, rung(2)), layer("720p", 720, rung(1)), layer("main", 1080, plain)},
		"main 480p low 240p":           {layer("240p", 240, rung(2)), layer("480p", 480, rung(1)), layer("main", 1080, plain), layer("low", 360, low)},
		"main converted 480p":          {layer("480p", 480, rung(1)), layer("converted", 1080, converted), layer("main", 1080, plain)},
		"main low converted 480p 240p": {layer("240p", 240, rung(2)), layer("480p", 480, rung(1)), layer("main", 0, plain), layer("converted", 0, converted), layer("low", 0, low)},
	} {
		var got []string
		for _, l := range arrange(layers) {
			got = append(got, l.Label)
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
}
