package transcode

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup puts a command in a process group of its own, all of which is killed with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// What a child may take: a 4K decoder with its threads maps about 1 GiB; it opens three pipes and its own libraries' files, and writes
// no file at all. One that talks to a driver maps the device's memory (CUDA reserves tens of GiB of addresses at its start), opens the device
// some times for each picture size, and shares memory with the driver by files without a name, whose length counts as a file's.
const (
	memoryLimit      = 4 << 30
	filesLimit       = 64
	deviceFilesLimit = 1024
)

// confine makes a child nicer than we are and bounds what it can take. It fails only when the child is gone already.
func confine(pid int, c confinement) {
	unix.Setpriority(unix.PRIO_PROCESS, pid, c.niceness)
	limits := map[int]uint64{unix.RLIMIT_AS: memoryLimit, unix.RLIMIT_NOFILE: filesLimit, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0}
	if c.device {
		limits = map[int]uint64{unix.RLIMIT_DATA: memoryLimit, unix.RLIMIT_NOFILE: deviceFilesLimit, unix.RLIMIT_CORE: 0}
	}
	for resource, limit := range limits {
		unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil)
	}
}
