//go:build !unix

package lane

import "errors"

// Supported reports whether this system has sockets that can be read and written without waiting. Elsewhere an http.Server does all.
const Supported = false

func read(uintptr, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func write(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
