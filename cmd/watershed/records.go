package main

import (
	"context"
	"errors"
	"slices"

	"watershed/cluster"
	"watershed/sfu/id"
	"watershed/signaling/access"
)

// records are the cluster's decisions about credentials, as package access wants them.
type records struct{ d *cluster.Decisions }

func (r records) Revoked(handle string) bool {
	_, ok := r.d.Revocations.Find(handle)
	return ok
}

func (r records) Revoke(ctx context.Context, v access.Revocation) error {
	_, err := r.d.Revocations.Put(ctx, cluster.Revocation{ID: v.Handle, Until: v.Until, By: v.By})
	return err
}

func (r records) Key(id string) (access.Key, bool) {
	k, ok := r.d.Keys.Find(id)
	return keyOf(k), ok
}

func keyOf(k cluster.Key) access.Key {
	return access.Key{ID: k.ID, Stream: k.Stream, Hash: k.Hash, Name: k.Name, By: k.By, Created: k.Created, Until: k.Until}
}

func (r records) Keys(stream id.Stream) []access.Key {
	all := r.d.Keys.Where(func(k *cluster.Key) bool { return k.Stream == stream })
	list := make([]access.Key, len(all))
	for i, k := range all {
		list[i] = keyOf(k)
	}
	return list
}

func (r records) PutKey(ctx context.Context, k access.Key) error {
	_, err := r.d.Keys.Put(ctx, cluster.Key{ID: k.ID, Stream: k.Stream, Hash: k.Hash, Name: k.Name, By: k.By, Until: k.Until})
	return err
}

func (r records) DeleteKey(ctx context.Context, id string) error {
	return gone(r.d.Keys.Delete(ctx, id))
}

const usePath = "path" // of a SigningKey

func (r records) PathKeys() []access.PathKey {
	all := r.d.SigningKeys.Where(func(k *cluster.SigningKey) bool { return k.Use == usePath })
	slices.SortFunc(all, func(a, b cluster.SigningKey) int { return b.From.Compare(a.From) })
	list := make([]access.PathKey, len(all))
	for i, k := range all {
		list[i] = access.PathKey{ID: k.ID, Created: k.From}
	}
	return list
}

func (r records) PutPathKey(ctx context.Context, k access.PathKey) error {
	_, err := r.d.SigningKeys.PutIf(ctx, cluster.SigningKey{ID: k.ID, Use: usePath, Algorithm: "HS256", From: k.Created}, 0)
	return err
}

func (r records) DeletePathKey(ctx context.Context, id string) error {
	return gone(r.d.SigningKeys.Delete(ctx, id))
}

// gone forgives that what is to be deleted is not there.
func gone(err error) error {
	if errors.Is(err, cluster.ErrNotFound) {
		return nil
	}
	return err
}

func (r records) Watch(ctx context.Context, changed func()) {
	for {
		revocations, keys, signing, sanctions := r.d.Revocations.Changed(), r.d.Keys.Changed(), r.d.SigningKeys.Changed(), r.d.Sanctions.Changed()
		changed()
		select {
		case <-revocations:
		case <-keys:
		case <-signing:
		case <-sanctions:
		case <-ctx.Done():
			return
		}
	}
}

var _ access.Records = records{}
