package main

import (
	"errors"
	"time"

	"watershed/cmd/watershed/loadtest"
)

// neighbours measures 50 viewers alone, and then beside one who has it hard or makes it hard: their figures must not move.
func neighbours(b *bench) (err error) {
	s, err := b.start(1, "river", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	alone, _, err := b.beside(s, nil)
	if err != nil {
		return err
	}
	b.figure("50 alone, lost for good", 0, float64(alone.Missing), "")
	b.note("50 alone, transit p50 / p99", "%.2f / %.2f ms, CPU of the node %.3f cores", alone.Transit.P50, alone.Transit.P99, alone.CPU/alone.Seconds)
	if err := b.lossy(s, alone); err != nil {
		return err
	}
	for _, h := range []loadtest.Habit{loadtest.Deaf, loadtest.Flood} {
		others, odd, err := b.beside(s, &loadtest.WHEP{Habit: h})
		if err != nil {
			return err
		}
		who := map[loadtest.Habit]string{loadtest.Deaf: "stops reading", loadtest.Flood: "floods RTCP"}[h]
		b.unmoved(who, alone, others)
		if h == loadtest.Flood {
			b.note(who+": how fast", "%.0f messages a second, each a report, 170 NACKs, a PLI and a REMB", float64(odd.Floods)/odd.Seconds)
		}
	}
	return nil
}

// lossy has one of them on a path that loses 5 % both ways and takes 100 ms.
func (b *bench) lossy(s *setup, alone *loadtest.Result) error {
	others, odd, err := b.beside(s, &loadtest.WHEP{Loss: .05, Delay: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	who := "5 % loss, 100 ms"
	b.figure(who+": NACKs arrived, ignored", 0, float64(odd.Ignored), "packets")
	b.note(who+": repeated / never came", "%d / %d of %d packets; a NACK or a repeat is lost, too, one time in twenty", odd.Repeated, odd.Missing, odd.Packets)
	b.unmoved(who, alone, others)
	return nil
}

// noise is how much the transit of one run may differ from another's on a machine whose tester shares its cores.
const noise = 2 // ms

// unmoved compares the others' figures with those without the odd one.
func (b *bench) unmoved(who string, alone, others *loadtest.Result) {
	b.figure(who+": the others lost", 0, float64(others.Missing), "packets")
	b.figure(who+": their transit p99, +2 ms", alone.Transit.P99+noise, others.Transit.P99, "ms")
	b.note(who+": CPU of the node", "%.3f cores, %.3f without; tester %.2f", others.CPU/others.Seconds, alone.CPU/alone.Seconds, others.TesterCPU/others.Seconds)
}

// beside runs 50 viewers for ten seconds, with an odd one beside them if there is one: it joins first and leaves last.
func (b *bench) beside(s *setup, odd *loadtest.WHEP) (others, other *loadtest.Result, err error) {
	url := []string{s.node.URL + "/whep/cam0"}
	const measured = 10 * time.Second
	failed := make(chan error, 1)
	if odd != nil {
		odd.URLs, odd.Viewers, odd.Rate, odd.Duration = url, 1, 1, measured+2*time.Second
		go func() {
			var err error
			other, err = odd.Run(b.ctx)
			failed <- err
		}()
	} else {
		failed <- nil
	}
	if err := b.sleep(time.Second); err != nil {
		return nil, nil, errors.Join(err, <-failed)
	}
	w := loadtest.WHEP{URLs: url, Viewers: 50, Rate: 100, Duration: measured, PID: s.node.PID()}
	others, err = w.Run(b.ctx)
	err = errors.Join(err, <-failed)
	return others, other, err
}
