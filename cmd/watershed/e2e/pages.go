package e2e

import (
	"crypto/tls"
	"embed"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
)

//go:embed *.html
var pages embed.FS

// Pages serves the node with pages of our own beside it, so that their scripts have its origin:
//
//	/e2e/whep?stream=NAME   the smallest WHEP player; window.pc is its connection; relay=1 goes through the node's TURN relay,
//	                        socket=1 asks by the WebSocket instead, via=PORT takes the media port to be there; restart(PORT) restarts ICE
//	/e2e/whip?stream=NAME   publishes numbered pictures and a tone by WHIP; simulcast=1, codec=video/VP8, takeover=1
//	/e2e/hls?stream=NAME    hls.js; window.hls is its instance, ll=0 turns low latency off
//	/e2e/abr?player=P&src=  hls.js, shaka or dash.js on a playlist or manifest; window.seen is what package abr judges
//	/e2e/modules/...        web/node_modules
//	/e2e/dist/...           web/dist
//
// It returns the address, and what ends it.
func Pages(node string) (address string, end func(), err error) {
	to, err := url.Parse(node)
	if err != nil {
		return "", nil, err
	}
	root, err := Root()
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		FlushInterval: -1,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // a node's certificate is a test's own
		ErrorLog:      log.New(io.Discard, "", 0),                                              // pages that are closed give up requests
	})
	mux.HandleFunc("GET /e2e/{page}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pages, r.PathValue("page")+".html")
	})
	mux.Handle("GET /e2e/modules/", http.StripPrefix("/e2e/modules/", http.FileServer(http.Dir(filepath.Join(root, "web", "node_modules")))))
	mux.Handle("GET /e2e/dist/", http.StripPrefix("/e2e/dist/", http.FileServer(http.Dir(filepath.Join(root, "web", "dist")))))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	return "http://" + l.Addr().String(), func() { srv.Close() }, nil
}
