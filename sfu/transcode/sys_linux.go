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
// no file at all.
const (
	memoryLimit = 4 << 30
	filesLimit  = 64
)

// confine makes a child nicer than we are and bounds what it can take. It fails only when the child is gone already.
func confine(pid, niceness int) {
	unix.Setpriority(unix.PRIO_PROCESS, pid, niceness)
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS: memoryLimit, unix.RLIMIT_NOFILE: filesLimit, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0,
	} {
		unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil)
	}
}
