package lane

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// parse takes the first request apart and tells its length; ok is false for what net/http is to judge.
func parse(data []byte, takes func(path string) bool) (r *http.Request, length int, ok bool) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, 0, false
	}
	line, fields, _ := strings.Cut(string(data[:end]), "\r\n")
	target, get := strings.CutPrefix(line, "GET ")
	target, http11 := strings.CutSuffix(target, " HTTP/1.1")
	if !get || !http11 || !plainTarget(target) {
		return nil, 0, false
	}
	path, query, _ := strings.Cut(target, "?")
	if !takes(path) {
		return nil, 0, false
	}
	r = &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, RequestURI: target,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header, 12), Body: http.NoBody,
	}
	return r, end + 4, parseFields(r, fields)
}

// parseFields reads a head's lines. What frames the message otherwise, asks for another answer or another protocol is refused.
func parseFields(r *http.Request, fields string) bool {
	values := make([]string, strings.Count(fields, "\r\n")+1)
	for fields != "" {
		var line string
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !all(name, isName) || !all(value, isValue) {
			return false
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		switch {
		case name == "Host":
			if r.Host != "" || !all(value, isHost) {
				return false
			}
			r.Host = value
			continue
		case name == "Connection" && !strings.EqualFold(value, "keep-alive") || refused[name] || strings.HasPrefix(name, "If-"):
			return false
		}
		if had := r.Header[name]; had != nil {
			r.Header[name] = append(had, value)
			continue
		}
		values[0] = value
		r.Header[name], values = values[:1:1], values[1:]
	}
	return r.Host != ""
}

// refused headers: whoever sends one of these is served by net/http.
var refused = map[string]bool{
	"Content-Length": true, "Transfer-Encoding": true, "Trailer": true, "Te": true, "Expect": true, "Upgrade": true, "Http2-Settings": true,
	"Range": true, "Pragma": true, "": true,
}

// all reports a text that has something, and nothing but bytes of a kind.
func all(text string, kind byteSet) bool {
	for i := range len(text) {
		if !kind[text[i]] {
			return false
		}
	}
	return text != ""
}

// plainTarget reports an absolute path, perhaps with a query, in which nothing is escaped: it means what it says.
func plainTarget(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && all(s, isTarget)
}

type byteSet [256]bool

func setOf(chars string) (s byteSet) {
	for c := byte('0'); c <= '9'; c++ {
		s[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		s[c], s[c-'a'+'A'] = true, true
	}
	for _, c := range []byte(chars) {
		s[c] = true
	}
	return s
}

// RFC 9110 section 5.6.2 (tokens), 5.5 (values), RFC 3986 section 3.3 and 3.2.2.
var (
	isName   = setOf("!#$%&'*+-.^_`|~")
	isTarget = setOf("-._~!$&'()*+,;=:@/?")
	isHost   = setOf("-._:[]")
	isValue  = func() (s byteSet) {
		for c := range s {
			s[c] = c >= ' ' && c != 0x7f || c == '\t'
		}
		return s
	}()
)
