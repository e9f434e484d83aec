package loadtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"
)

// Rate is a load of connections that each ask for the next object as soon as they have one: how many requests a second a server answers. The tester
// reads no more than it must, since it shares the machine.
type Rate struct {
	URLs     []string // in turn; http only, and all of one server
	Conns    int
	Duration time.Duration
	PID      int // of the server, for its CPU
}

// RateResult of a load.
type RateResult struct {
	Answers        int
	Seconds        float64
	CPU, TesterCPU float64 // seconds
}

// PerSecond is how many were answered.
func (r *RateResult) PerSecond() float64 { return float64(r.Answers) / r.Seconds }

// Micros is the server's CPU for each.
func (r *RateResult) Micros() float64 { return r.CPU * 1e6 / float64(max(1, r.Answers)) }

// Run the load.
func (l *Rate) Run(ctx context.Context) (*RateResult, error) {
	var asks [][]byte
	host := ""
	for _, address := range l.URLs {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" {
			return nil, errors.New("loadtest: a rate is measured over http")
		}
		asks = append(asks, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip\r\n\r\n", u.RequestURI(), u.Host))
		host = u.Host
	}
	ctx, cancel := context.WithTimeout(ctx, l.Duration)
	defer cancel()
	all := make([]*waiter, l.Conns)
	for i := range all {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(l.Duration + patience))
		all[i] = &waiter{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	}
	counts := make([]int, l.Conns)
	cpu, own, began := cpuSeconds(l.PID), cpuSeconds(os.Getpid()), time.Now()
	var asking sync.WaitGroup
	for i, w := range all {
		asking.Go(func() {
			for ctx.Err() == nil && w.err == nil {
				if _, w.err = w.conn.Write(asks[(i+counts[i])%len(asks)]); w.err == nil {
					w.read(false)
					counts[i]++
				}
			}
		})
	}
	asking.Wait()
	r := &RateResult{Seconds: time.Since(began).Seconds(), CPU: cpuSeconds(l.PID) - cpu, TesterCPU: cpuSeconds(os.Getpid()) - own}
	for i, w := range all {
		if w.err != nil {
			return nil, fmt.Errorf("loadtest: %w", w.err)
		}
		r.Answers += counts[i]
	}
	return r, nil
}
