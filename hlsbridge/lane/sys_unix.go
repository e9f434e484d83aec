//go:build unix

package lane

import "syscall"

// Supported reports whether this system has sockets that can be read and written without waiting. Elsewhere an http.Server does all.
const Supported = true

func read(fd uintptr, b []byte) (int, error)  { return syscall.Read(int(fd), b) }
func write(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }
