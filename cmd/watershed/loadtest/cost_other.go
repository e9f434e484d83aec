//go:build !unix

package loadtest

import "time"

func ownCPU() (time.Duration, bool) { return 0, false }
