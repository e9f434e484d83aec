package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"watershed/sfu"
	"watershed/sfu/id"
)

// Door is what every publisher comes through, whatever the protocol: it asks Admit, opens the session, and writes the log's one line for each
// who comes, is turned away or leaves.
type Door struct {
	Admit Admit
	Log   *slog.Logger
}

// Knock asks whether the publisher may come in. path is how the protocol names the stream.
func (d *Door) Knock(ctx context.Context, path string, p Publish) (Publish, *Permit, error) {
	name, err := id.ParseStream(strings.Trim(path, "/"))
	if err != nil {
		return p, nil, d.Refused(p, &Refusal{http.StatusNotFound, err})
	}
	p.Stream = name
	permit, err := d.Admit(ctx, p)
	if err != nil {
		return p, nil, d.Refused(p, err)
	}
	return p, permit, nil
}

// Begin opens the session of a publisher who was let in.
func (d *Door) Begin(p Publish, permit *Permit, tracks []sfu.TrackSpec, kicked func(error)) (*Guest, []*sfu.Writer, error) {
	session, writers, err := permit.Begin(sfu.SessionOptions{Tracks: tracks, Name: p.Protocol + " from " + p.Addr, Kicked: kicked})
	if err != nil {
		return nil, nil, d.Refused(p, err)
	}
	d.Log.Info("publisher came", "stream", p.Stream, "protocol", p.Protocol, "from", p.Addr)
	return &Guest{Session: session, door: d, publish: p}, writers, nil
}

// Unsupported refuses a publisher who brings no codec that is known here.
func (d *Door) Unsupported(p Publish, codecs string) error {
	return d.Refused(p, &Refusal{http.StatusUnsupportedMediaType, fmt.Errorf(
		"no codec of this source is known here (%s): send H264, H265, VP8, VP9 or AV1, and Opus, AAC or G711", codecs)})
}

// Refused logs that a publisher was turned away, and returns why.
func (d *Door) Refused(p Publish, err error) error {
	if Status(err) == http.StatusUnauthorized && p.Key == "" && p.Token == "" {
		d.Log.Debug("publisher asked for credentials", "stream", p.Stream, "protocol", p.Protocol, "from", p.Addr)
		return err // many clients bring none until they are asked
	}
	d.Log.Warn("publisher refused", "stream", p.Stream, "protocol", p.Protocol, "from", p.Addr, "reason", err)
	return err
}

// Guest is a publisher inside.
type Guest struct {
	*sfu.Session
	door    *Door
	publish Publish
}

// Leave ends the session.
func (g *Guest) Leave(reason error) {
	g.Close(reason)
	g.door.Log.Info("publisher left", "stream", g.publish.Stream, "protocol", g.publish.Protocol, "reason", reason)
}
