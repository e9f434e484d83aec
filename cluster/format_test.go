package cluster

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
)

// kept are records as versions before this one wrote them. A field that is renamed or removed makes their logs unreadable: then keep its old
// name, or raise commandVersion and read both. Fields that are new here need not be in old texts; add a text with them.
var kept = map[string]string{
	"streams": `{"index":0,"created":"0001-01-01T00:00:00Z","modified":"0001-01-01T00:00:00Z","name":"river-1","title":"River","origin":"api","by":"op",
		"spec":{"Public":true,"Inputs":[{"High":"rtsp://10.0.0.5/1","Low":"rtsp://10.0.0.5/2"}],"Demand":true,"Idle":30000000000,"Ladder":["720p"],"Record":true,"DVR":7200000000000,"Keep":604800000000000,"KeepSize":50000000000,"Ephemeral":true}}`,
	"rules":        `{"room":"river-1","chat":true,"guests":true,"slow":5,"publish":"token"}`,
	"sanctions":    `{"room":"river-1","user":"u","do":"mute","until":"2100-01-01T00:00:00Z","by":"mod"}`,
	"revocations":  `{"id":"default/jti","until":"2100-01-01T00:00:00Z","by":"op"}`,
	"keys":         `{"id":"k","stream":"river-1","hash":"h","name":"n","by":"op","until":"0001-01-01T00:00:00Z"}`,
	"signing-keys": `{"id":"k1","use":"path","algorithm":"HS256","from":"2026-01-01T00:00:00Z","until":"0001-01-01T00:00:00Z"}`,
	"members":      `{"id":"n1","addresses":{"raft":"10.0.0.1:8443"},"version":"v1"}`,
}

// keptPosts is an entry of messages with one post, as hex.
const keptPosts = "01110000018bcfe56800" + "01" + "0772697665722d31" + "00" + "0163" + "0175" + "024c69" + "06766965776572" + "06e4bda0e5a5bd" + "00" + "026d31"

func TestOldLogsAreRead(t *testing.T) {
	d := newDecisions(&halt{tell: func(err error) { t.Error(err) }})
	for table := range d.tables {
		require.Contains(t, kept, table, "no text of this table is kept")
	}
	index := uint64(0)
	for table, value := range kept {
		index++
		body, err := json.Marshal(write{Table: table, Value: json.RawMessage(value)})
		require.NoError(t, err)
		answer := d.Apply(&raft.Log{Index: index, Data: encodeCommand(kindPut, body)})
		require.NotImplements(t, (*error)(nil), answer, "%s: %v", table, answer)
	}
	st, ok := d.Streams.Find("river-1")
	require.True(t, ok)
	require.Equal(t, []sfu.Input{{High: "rtsp://10.0.0.5/1", Low: "rtsp://10.0.0.5/2"}}, st.Spec.Inputs)

	entry, err := hex.DecodeString(keptPosts)
	require.NoError(t, err)
	m := newMessages(&halt{tell: func(err error) { t.Error(err) }})
	m.Apply(&raft.Log{Index: 1, Data: entry})
	require.Equal(t, &Message{Offset: 1, MID: "m1", CID: "c", At: 1700000000000, User: "u", Name: "Li", Role: "viewer", Text: "你好"}, m.rooms["river-1"].log[0])
}

// TestEveryFieldIsKept finds fields that are in no text above.
func TestEveryFieldIsKept(t *testing.T) {
	spec := reflect.TypeFor[sfu.Spec]()
	for i := range spec.NumField() {
		require.True(t, strings.Contains(kept["streams"], `"`+spec.Field(i).Name+`"`), "sfu.Spec.%s is written into the log: add it to kept", spec.Field(i).Name)
	}
}
