package socket

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics that the sockets count; rooms and sockets are counted when they are asked for.
type metrics struct {
	closes  *prometheus.CounterVec // by code: only ours, there are ten
	answers *prometheus.CounterVec // to what people say: said, or why not
}

func newMetrics() metrics {
	return metrics{
		closes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watershed_socket_closes_total", Help: "Sockets that ended, by the close code that we sent."}, []string{"code"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watershed_chat_messages_total", Help: "What people said, by the answer: said, or why not."}, []string{"answer"}),
	}
}

func (m *metrics) closed(code int) { m.closes.WithLabelValues(strconv.Itoa(code)).Inc() }

// answered counts what became of something said. Codes are those of PROTOCOL.md, so there are few.
func (m *metrics) answered(err error) {
	answer := "said"
	if err != nil {
		f, _ := explain(err)
		answer = f.Code
	}
	m.answers.WithLabelValues(answer).Inc()
}

var (
	socketsDesc = prometheus.NewDesc("watershed_sockets", "Open sockets.", nil, nil)
	roomsDesc   = prometheus.NewDesc("watershed_rooms", "Rooms in which somebody sits.", nil, nil)
)

// Describe says nothing: which series there are is seen when they are collected.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect gives the sockets' metrics.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(socketsDesc, prometheus.GaugeValue, float64(s.Sockets()))
	out <- prometheus.MustNewConstMetric(roomsDesc, prometheus.GaugeValue, float64(len(s.rooms.Names())))
	s.metrics.closes.Collect(out)
	s.metrics.answers.Collect(out)
}

var _ prometheus.Collector = (*Server)(nil)
