// Package ops is what operators look at: metrics, profiles, health.
//
// Metrics are read from the node when they are asked for; nothing is counted twice. No label has a stream's, viewer's or tenant's name in
// it, so that a node with a thousand streams has as many time series as one with ten.
package ops

import (
	"net/http"
	"net/http/pprof"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"watershed/sfu"
)

// Handler serves /metrics, and profiles below /debug/pprof/. Packages that count for themselves give their collectors.
func Handler(media *sfu.SFU, more ...prometheus.Collector) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(mediaCollector{media}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(more...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("watershed_"+name, help, labels, nil)
}

var (
	streams     = desc("streams", "Streams by state.", "state")
	viewers     = desc("viewers", "Viewers of streams by protocol.", "protocol")
	conversions = desc("conversions", "Layers that are made here from another, because a viewer needs them.")
	legs        = desc("webrtc_legs", "WebRTC transports, connected or connecting.")
	rejected    = desc("webrtc_rejected_datagrams_total", "Datagrams whose authentication failed.")

	shardViewers     = desc("shard_viewers", "Connected WebRTC viewers of a shard.", "shard")
	shardPackets     = desc("shard_packets_total", "Media packets sealed for viewers, without retransmissions.", "shard")
	shardRetransmits = desc("shard_retransmits_total", "Packets sent again because a viewer asked.", "shard")
	shardOverruns    = desc("shard_overruns_total", "Times that frames were gone before a shard could send them.", "shard")

	udpDatagrams = desc("udp_datagrams_total", "Datagrams handed to the kernel by a socket's batch.", "socket")
	udpBytes     = desc("udp_bytes_total", "Their bytes.", "socket")
	udpMessages  = desc("udp_messages_total", "Messages that carried them; a segmented run (GSO) is one.", "socket")
	udpCalls     = desc("udp_system_calls_total", "System calls that carried the messages.", "socket")
	udpDropped   = desc("udp_dropped_total", "Datagrams that the kernel refused: full buffer, unreachable peer.", "socket")
	udpWaits     = desc("udp_waits_total", "Times that a full socket was waited for.", "socket")
	udpFallbacks = desc("udp_gso_fallbacks_total", "Times that segmentation was refused and given up.", "socket")
	udpGSO       = desc("udp_gso", "1 if the kernel cuts up runs for the socket.", "socket")
)

// allStates are always told, also those that no stream is in, so that a graph starts at zero.
var allStates = []sfu.State{sfu.Idle, sfu.Starting, sfu.Live, sfu.Degraded, sfu.Stalled, sfu.Offline}

// mediaCollector reads a media plane.
type mediaCollector struct{ media *sfu.SFU }

// Describe says nothing: which series there are is seen when they are collected.
func (mediaCollector) Describe(chan<- *prometheus.Desc) {}

func (c mediaCollector) Collect(out chan<- prometheus.Metric) {
	c.streams(out)
	c.shards(out)
	c.sockets(out)
	out <- gauge(legs, float64(c.media.Port().Legs()))
	out <- counter(rejected, c.media.Port().Rejected())
}

func (c mediaCollector) streams(out chan<- prometheus.Metric) {
	states, protocols, converted := map[sfu.State]int{}, map[string]int{}, 0
	for _, st := range c.media.Streams() {
		status := st.Status()
		states[status.State]++
		for protocol, n := range status.Viewers {
			protocols[protocol] += n
		}
		for _, t := range status.Tracks {
			for _, l := range t.Layers() {
				if l.Converted {
					converted++
				}
			}
		}
	}
	for _, s := range allStates {
		out <- gauge(streams, float64(states[s]), string(s))
	}
	for protocol, n := range protocols {
		out <- gauge(viewers, float64(n), protocol)
	}
	out <- gauge(conversions, float64(converted))
}

func (c mediaCollector) shards(out chan<- prometheus.Metric) {
	for i, s := range c.media.Shards() {
		shard := strconv.Itoa(i)
		out <- gauge(shardViewers, float64(s.Viewers.Load()), shard)
		out <- counter(shardPackets, s.Packets.Load(), shard)
		out <- counter(shardRetransmits, s.Retransmits.Load(), shard)
		out <- counter(shardOverruns, s.Overruns.Load(), shard)
	}
}

func (c mediaCollector) sockets(out chan<- prometheus.Metric) {
	for i, conn := range c.media.Port().Conns() {
		socket, s := strconv.Itoa(i), &conn.Stats
		out <- counter(udpDatagrams, s.Datagrams.Load(), socket)
		out <- counter(udpBytes, s.Bytes.Load(), socket)
		out <- counter(udpMessages, s.Messages.Load(), socket)
		out <- counter(udpCalls, s.Calls.Load(), socket)
		out <- counter(udpDropped, s.Dropped.Load(), socket)
		out <- counter(udpWaits, s.Waits.Load(), socket)
		out <- counter(udpFallbacks, s.Fallbacks.Load(), socket)
		gso := 0.0
		if conn.GSO() {
			gso = 1
		}
		out <- gauge(udpGSO, gso, socket)
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

var _ prometheus.Collector = mediaCollector{}
