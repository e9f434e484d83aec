package answer

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

var update = flag.Bool("update", false, "write the golden files anew")

var transport = Transport{
	SessionID: 42, Ufrag: "ourufrag", Password: "our-password", Fingerprint: "AA:BB",
	Candidates: []string{"1 1 udp 2130706431 192.0.2.1 8189 typ host", "101 1 tcp 2122317823 192.0.2.1 8189 typ host tcptype passive"},
}

// sources gives every m-line that can be served numbers that are easy to read.
func sources(o *Offer, first ...media.Codec) map[int]Source {
	all := map[int]Source{}
	for _, m := range o.Medias {
		if len(m.Codecs) > 0 {
			s := Source{SSRC: uint32(1000 + m.Index), StreamID: "watershed", First: first}
			if m.Kind == media.Video {
				s.RTX = uint32(2000 + m.Index)
			}
			all[m.Index] = s
		}
	}
	return all
}

// TestGolden answers the offers of real clients. Each testdata/NAME.offer has its NAME.answer.
func TestGolden(t *testing.T) {
	offers, err := filepath.Glob("testdata/*.offer")
	require.NoError(t, err)
	require.NotEmpty(t, offers)
	for _, file := range offers {
		t.Run(filepath.Base(file), func(t *testing.T) {
			offer, err := os.ReadFile(file)
			require.NoError(t, err)
			text := strings.ReplaceAll(strings.ReplaceAll(string(offer), "\r\n", "\n"), "\n", "\r\n")
			o, err := Parse(text, "")
			require.NoError(t, err)
			got := o.Write(transport, sources(o, media.H264, media.Opus))
			golden := strings.TrimSuffix(file, ".offer") + ".answer"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(strings.ReplaceAll(got, "\r\n", "\n")), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), strings.ReplaceAll(got, "\r\n", "\n"))
			var parsed sdp.SessionDescription
			require.NoError(t, parsed.UnmarshalString(got), "another parser reads it")
			require.Len(t, parsed.MediaDescriptions, len(o.Medias), "one m-line for each of the offer's (RFC 3264 section 6)")
		})
	}
}

const head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 aa:bb\r\n"

func TestOffersThatCannotBeAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		offer string
		err   error
	}{
		"nothing":       {head + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", ErrNothingToSend},
		"sends only":    {head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n", ErrNothingToSend},
		"unknown codec": {head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 MPEG9/90000\r\n", ErrNothingToSend},
		"mode 0":        {head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=0\r\n", ErrNothingToSend},
		"passive":       {head + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=setup:passive\r\na=rtpmap:96 VP8/90000\r\n", ErrSetup},
		"rejected":      {head + "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n", ErrNothingToSend},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.offer, "")
			require.ErrorIs(t, err, c.err)
		})
	}
}

func TestPrefersTheStreamsProfile(t *testing.T) {
	offer := head + "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\n" +
		"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42001f\r\n" +
		"a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=1;profile-level-id=42e01f\r\n" +
		"a=rtpmap:98 H264/90000\r\na=fmtp:98 profile-level-id=640032;packetization-mode=1\r\n"
	for profile, pt := range map[string]uint8{"": 97, "42c01e": 96, "64001f": 98, "4d0020": 97} {
		o, err := Parse(offer, profile)
		require.NoError(t, err)
		require.Equal(t, pt, o.Medias[0].Codecs[media.H264].PT, "profile %s", profile)
	}
}

// FuzzParse reads any offer, and whatever it accepts must make an answer that another parser reads.
func FuzzParse(f *testing.F) {
	offers, _ := filepath.Glob("testdata/*.offer")
	for _, file := range offers {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Add(head + "m=audio 9 UDP/TLS/RTP/SAVPF 0 8\r\n")
	f.Fuzz(func(t *testing.T, offer string) {
		o, err := Parse(offer, "64001f")
		if err != nil {
			return
		}
		answer := o.Write(transport, sources(o))
		var parsed sdp.SessionDescription
		if err := parsed.UnmarshalString(answer); err != nil {
			t.Fatalf("%v\n%s", err, answer)
		}
	})
}
