package conform

// Level of a rule.
type Level string

// The levels: those of draft-pantos-hls-rfc8216bis, and Apple's authoring specification for its devices.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	Apple  Level = "APPLE"
)

// Rule is one thing that an origin has to do.
type Rule struct {
	ID      string
	Level   Level
	Section string // of the draft, revision 22, or AS and the item of Apple's specification
	Text    string
}

// Rules that are checked, in the order of a report.
var Rules = []Rule{
	{"grammar", Must, "4.1", "a playlist begins with #EXTM3U and its tags can be read"},
	{"target", Must, "4.4.3.1", "EXT-X-TARGETDURATION is there, and no EXTINF rounded is longer"},
	{"version", Must, "8", "EXT-X-VERSION suffices for what the playlist uses"},
	{"version-low", Should, "8", "EXT-X-VERSION is not higher than the playlist needs"},
	{"part-inf", Must, "4.4.3.7", "EXT-X-PART-INF with PART-TARGET stands where parts are"},
	{"part-long", Must, "4.4.4.9", "no part is longer than PART-TARGET"},
	{"part-short", Must, "4.4.4.9", "a part lasts 85 % of PART-TARGET, but for a segment's last and independent ones"},
	{"part-order", Must, "4.4.4.9", "a segment's tags stand before its first part"},
	{"control", Must, "4.4.3.8", "EXT-X-SERVER-CONTROL offers CAN-BLOCK-RELOAD=YES"},
	{"hold-back", Must, "4.4.3.8", "PART-HOLD-BACK is at least twice PART-TARGET"},
	{"hold-back-3", Apple, "AS 14.3", "PART-HOLD-BACK is at least three times PART-TARGET"},
	{"hold-back-whole", Must, "4.4.3.8", "HOLD-BACK, if given, is at least three target durations"},
	{"skip-until", Must, "4.4.3.8", "CAN-SKIP-UNTIL is at least six target durations"},
	{"skip-ranges", Must, "4.4.3.8", "CAN-SKIP-DATERANGES stands beside CAN-SKIP-UNTIL"},
	{"same-control", Must, "6.2.4", "EXT-X-SERVER-CONTROL is the same in all media playlists"},
	{"same-target", Must, "6.2.4", "EXT-X-TARGETDURATION is the same in all media playlists"},
	{"same-cuts", Must, "6.2.4", "at any time of the programme, discontinuity sequences agree between media playlists"},
	{"same-dates", Must, "6.2.4", "media times have the same dates in all media playlists, to three tenths of a second"},
	{"in-step", Must, "B.1", "renditions are updated within a part of each other, by their dates"},
	{"hint", Must, "4.4.5.3", "one EXT-X-PRELOAD-HINT of type PART stands in a playlist with parts, at most one of type MAP, none after its end"},
	{"hint-true", Must, "6.2.6", "the hinted part is the next one"},
	{"hint-whole", Must, "6.2.6", "a hinted part comes when it is whole, without a pause: within half a part from its first byte to its last"},
	{"unknown-404", Should, "6.2.6", "what was never there and is not hinted at is 404"},
	{"reports", Must, "B.1", "every other media playlist has an EXT-X-RENDITION-REPORT with LAST-MSN and LAST-PART, and they are those of that playlist"},
	{"block-part", Must, "6.2.5.2", "a request for the next part is held until that is there, and then has it"},
	{"block-segment", Must, "6.2.5.2", "a request for a segment is held until that is whole"},
	{"block-roll", Must, "6.2.5.2", "a part beyond the end of a segment means the first of the next"},
	{"block-old", Must, "6.2.5.2", "a request for the past is answered at once with the current playlist"},
	{"part-alone", Must, "6.2.5.2", "_HLS_part without _HLS_msn is 400"},
	{"far-segment", Should, "6.2.5.2", "a request for more than two segments ahead is 400 at once"},
	{"far-part", Should, "6.2.5.2", "a request for more parts ahead than three seconds have is 400 at once"},
	{"delta", Must, "6.2.5.1", "_HLS_skip gives a delta, if there is anything to skip, that completes to the full playlist"},
	{"delta-boundary", Must, "6.2.5.1", "a delta skips nothing within the skip boundary"},
	{"cadence", Must, "6.2.1", "a new part is there within a part target of the one before (half a part is allowed for the way), a segment within 1.5 target durations"},
	{"ended", Must, "6.2.5", "a playlist with EXT-X-ENDLIST is the same whatever the directives"},
	{"fixed-target", Must, "4.4.3.1", "target durations never change"},
	{"fixed-control", Apple, "6.2.1", "hold-backs never change"},
	{"forward", Must, "6.2.2", "media sequence numbers never go back, nor does a segment's discontinuity sequence number change"},
	{"same-address", Must, "6.2.1", "what a number once meant never changes: addresses and lengths of segments and parts, gaps, discontinuities, dates"},
	{"time", Must, "B.1", "a live playlist has EXT-X-PROGRAM-DATE-TIME"},
	{"time-flow", Must, "6.2.1", "dates and durations agree from segment to segment: no hole of a tenth of a second, no overlap of a second"},
	{"cuts", Must, "6.2.2", "EXT-X-DISCONTINUITY-SEQUENCE is given where discontinuities may be removed"},
	{"map-cut", Should, "4.4.4.3", "another EXT-X-MAP follows an EXT-X-DISCONTINUITY"},
	{"not-vod", Must, "6.2.2", "a playlist that segments leave has no EXT-X-PLAYLIST-TYPE"},
	{"length", Must, "6.2.2", "a playlist that segments leave is never shorter than three target durations"},
	{"old-parts", Should, "6.2.2", "parts further than three target durations from the end are not listed"},
	{"media", Must, "6.2.2", "what is listed can be fetched"},
	{"removed", Must, "6.2.2", "a segment that left the playlist can be fetched for as long as the playlist and the segment last"},
	{"map", Must, "4.4.4.5", "fragmented MP4 has an EXT-X-MAP that can be fetched"},
	{"join", Must, "4.4.4.9", "a segment is its parts in a row"},
	{"gzip", Must, "6.2.1", "playlists are compressed for those who take gzip, and mean the same"},
	{"type", Must, "4", "a playlist has the content type of one"},
	{"cache", Should, "B.1", "a blocking reload's answer may be cached for a while"},
	{"age", Should, "B.1", "caches say the Age of what they have"},
	{"http2", Should, "B.1", "where TLS is, there is HTTP/2"},
	{"cors", Should, "AS", "pages of other origins may read it"},
	{"variants", Must, "4.4.6.2", "a variant has BANDWIDTH"},
	{"variants-full", Apple, "AS 9", "a variant has CODECS, AVERAGE-BANDWIDTH, and with pictures RESOLUTION and FRAME-RATE"},
}

func rule(id string) Rule {
	for _, r := range Rules {
		if r.ID == id {
			return r
		}
	}
	panic("conform: no rule " + id) // a typing error in this package
}
