//go:build unix

package loadtest

import (
	"syscall"
	"time"
)

// ownCPU is what this process has used, finer than /proc tells it.
func ownCPU() (time.Duration, bool) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err == nil
}
