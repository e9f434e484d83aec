package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// place is a key of the file.
type place struct {
	path  []string
	at    *token.Position
	value ast.Node
}

func (p place) key() string { return strings.Join(p.path, ".") }

// places are the keys of a file in their order, each before those in its value. A text that is no YAML has none.
func places(text []byte) (all []place) {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil
	}
	var walk func(n ast.Node, path []string)
	walk = func(n ast.Node, path []string) {
		switch n := n.(type) {
		case *ast.MappingNode:
			for _, v := range n.Values {
				walk(v, path)
			}
		case *ast.MappingValueNode:
			key := n.Key.GetToken()
			below := append(path[:len(path):len(path)], key.Value)
			all = append(all, place{below, key.Position, n.Value})
			walk(n.Value, below)
		case *ast.SequenceNode:
			for _, v := range n.Values {
				walk(v, path)
			}
		}
	}
	for _, d := range file.Docs {
		walk(d.Body, nil)
	}
	return all
}

// lineOf a key, or of the last key around it that the file has; "" if there is none.
func lineOf(all []place, key string) string {
	var best *place
	for i, p := range all {
		if k := p.key(); (key == k || strings.HasPrefix(key, k+".")) && (best == nil || len(k) > len(best.key())) {
			best = &all[i]
		}
	}
	if best == nil {
		return ""
	}
	return fmt.Sprintf("%d:%d:", best.at.Line, best.at.Column)
}

// explain a text that cannot be read: line, key, and what is wrong, without the value, which may be a password.
func explain(text []byte, err error) error {
	all := places(text)
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil || y.GetToken().Position == nil {
		if p, ok := culprit(all); ok {
			return fmt.Errorf("%d:%d: %s: %w", p.at.Line, p.at.Column, p.key(), err)
		}
		return fmt.Errorf(" %w", err)
	}
	at := y.GetToken().Position
	what := y.GetMessage()
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		what = fmt.Sprintf("%s is wanted here, not %s", kindOf(wrong.DstType), kindOf(wrong.SrcType))
	}
	for i := len(all) - 1; i >= 0; i-- { // the last key that begins before the error is the one that it is in
		if p := all[i]; p.at.Line < at.Line || p.at.Line == at.Line && p.at.Column <= at.Column {
			return fmt.Errorf("%d:%d: %s: %s", at.Line, at.Column, p.key(), what)
		}
	}
	return fmt.Errorf("%d:%d: %s", at.Line, at.Column, what)
}

// culprit is the key whose value alone cannot be read: errors of durations and addresses do not say where they come from.
func culprit(all []place) (place, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		var value any
		if yaml.NodeToValue(all[i].value, &value) != nil {
			continue
		}
		for j := len(all[i].path) - 1; j >= 0; j-- {
			value = map[string]any{all[i].path[j]: value}
		}
		alone, err := json.Marshal(value) // which is YAML, too
		if err == nil && yaml.Unmarshal(alone, &Config{}) != nil {
			return all[i], true
		}
	}
	return place{}, false
}

// kindOf a value in words for people who write YAML.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a set of keys"
	case reflect.String:
		return "a text"
	}
	return "a number"
}
