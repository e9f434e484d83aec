package browser

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Page is one tab of a visitor of its own: empty cache, no cookies.
type Page struct {
	b  *Browser
	id int

	mu      sync.Mutex // guards console
	console []string
}

// Open a page. Options are playwright's for a context (viewport, locale, ...), or nil. It returns when the document has been
// committed: scripts may still load.
func (b *Browser) Open(url string, options map[string]any) (*Page, error) {
	b.mu.Lock()
	b.last++
	p := &Page{b: b, id: b.last}
	b.pages[p.id] = p
	b.mu.Unlock()
	if err := b.command(map[string]any{"op": "open", "id": p.id, "options": options}, nil); err != nil {
		return nil, fmt.Errorf("open a page: %w", err)
	}
	if err := p.Do(nil, "goto", url, map[string]any{"waitUntil": "commit"}); err != nil {
		p.Close()
		return nil, fmt.Errorf("open %s: %w", url, err)
	}
	return p, nil
}

// Eval runs an expression in the page, waits for it if it is a promise, and decodes its value unless out is nil.
func (p *Page) Eval(js string, out any) error { return p.Do(out, "evaluate", js) }

// Do calls a method of playwright's Page: Do(nil, "click", "button").
func (p *Page) Do(out any, method string, args ...any) error {
	if err := p.b.command(map[string]any{"op": "call", "page": p.id, "method": method, "args": args}, out); err != nil {
		return fmt.Errorf("%s: %w%s", method, err, p.said())
	}
	return nil
}

// Throttle slows what comes down to the page to so many bits a second in all, and every answer by a delay; 0 bits lift the limit.
func (p *Page) Throttle(bits float64, delay time.Duration) error {
	if err := p.b.command(map[string]any{"op": "throttle", "page": p.id, "bits": bits, "delay": delay.Milliseconds()}, nil); err != nil {
		return fmt.Errorf("throttle to %.0f bits/s: %w", bits, err)
	}
	return nil
}

// Wait until an expression becomes true.
func (p *Page) Wait(js string, timeout time.Duration) error {
	if err := p.b.command(map[string]any{"op": "wait", "page": p.id, "js": js, "timeout": timeout.Milliseconds()}, nil); err != nil {
		return fmt.Errorf("wait for %s: %w%s", js, err, p.said())
	}
	return nil
}

// Console is what the page's scripts have said so far, uncaught errors included.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.console...)
}

func (p *Page) said() string {
	if said := p.Console(); len(said) > 0 {
		return "\nthe page said:\n\t" + strings.Join(said, "\n\t")
	}
	return ""
}

// Close the page.
func (p *Page) Close() error {
	err := p.b.command(map[string]any{"op": "close", "page": p.id}, nil)
	p.b.mu.Lock()
	delete(p.b.pages, p.id)
	p.b.mu.Unlock()
	return err
}
