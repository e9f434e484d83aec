package main

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"watershed/web"
)

// routePages serves the pages and the player.
func (n *node) routePages() error {
	pages, err := web.New(n.hls.Beginning)
	if err != nil {
		return err
	}
	for _, route := range web.Routes() {
		n.sig.Echo().Match([]string{http.MethodGet, http.MethodHead}, route, echo.WrapHandler(pages))
	}
	return nil
}
