package main

import (
	"watershed/cmd/watershed/config"
	"watershed/sfu/id"
)

// shields are the streams that another origin packages.
func shields(streams map[string]config.Stream) map[id.Stream]string {
	all := map[id.Stream]string{}
	for name, s := range streams {
		if full, err := id.ParseStream(name); err == nil && s.Shield {
			all[full] = s.Source
		}
	}
	return all
}
