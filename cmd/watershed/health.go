package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

type healthCmd struct {
	URL string `arg:"" default:"http://127.0.0.1:8080/healthz" help:"What to ask; .../readyz tells whether it takes viewers."`
}

// Run fails if the node does not answer well: for containers, which may have no other HTTP client.
func (c *healthCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", c.URL, res.Status, text)
	}
	fmt.Printf("%s", text)
	return nil
}
