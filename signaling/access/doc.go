// Package access says who somebody is and what they may do.
//
// A request, a socket's hello or an encoder brings a credential: a JWT, or a stream key, or nothing. Access.Authenticate turns it into a
// Principal, Access.May asks the table of rights (rights.go, the only place where roles mean something), Access.Hold ends what was
// begun when the token expires, is revoked, or the stream stops being public.
//
// Everything here is called from any goroutine. One goroutine (Run) waits for changes of the records and looks at the held sessions again.
package access
