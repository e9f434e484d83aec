package hlsbridge

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// kindOf a request: what caches in front treat differently. There are eight kinds, whatever clients ask for.
type kindOf int

const (
	kindIndex    kindOf = iota // multivariant playlist
	kindPlaylist               // media playlist, as it is now
	kindReload                 // media playlist, when it has what the request names
	kindInit
	kindPart
	kindSegment
	kindDASH
	kindOther // recordings, FLV, what old players get, and what there is not
	kinds
)

var kindNames = [kinds]string{"index", "playlist", "reload", "init", "part", "segment", "dash", "other"}

func requestKind(protocol, file, query string) kindOf {
	if protocol != "hls" {
		if protocol == "dash" {
			return kindDASH
		}
		return kindOther
	}
	switch {
	case file == "index.m3u8":
		return kindIndex
	case strings.HasSuffix(file, ".m3u8"):
		if strings.Contains(file, "/") || strings.HasPrefix(file, "dvr") || strings.HasPrefix(file, "vod") || strings.HasPrefix(file, "compat") {
			return kindOther
		}
		if strings.Contains(query, "_HLS_msn=") {
			return kindReload
		}
		return kindPlaylist
	}
	f, ok := parseFile(file)
	switch {
	case !ok:
		return kindOther
	case f.init >= 0:
		return kindInit
	case f.part >= 0:
		return kindPart
	}
	return kindSegment
}

// requests so far, by kind.
type requests [kinds]atomic.Uint64

var (
	requestsDesc = prometheus.NewDesc("watershed_hls_requests_total", "Requests for what the HLS bridge serves, by kind of object, answered in whatever way.", []string{"kind"}, nil)
	fetchesDesc  = prometheus.NewDesc("watershed_hls_shield_fetches_total", "Requests of shields to the origins behind them.", nil, nil)
	shieldedDesc = prometheus.NewDesc("watershed_hls_shield_requests_total", "Requests that shields answered.", nil, nil)
)

// Describe says nothing: which series there are is seen when they are collected.
func (b *Bridge) Describe(chan<- *prometheus.Desc) {}

// Collect is of prometheus.Collector.
func (b *Bridge) Collect(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for k := range kinds {
		count(requestsDesc, b.requests[k].Load(), kindNames[k])
	}
	var asked, fetched int64
	for _, s := range b.shields {
		asked, fetched = asked+s.Requests.Load(), fetched+s.Fetches.Load()
	}
	count(shieldedDesc, uint64(asked))
	count(fetchesDesc, uint64(fetched))
	b.collectRecordings(out)
}

var _ prometheus.Collector = (*Bridge)(nil)
