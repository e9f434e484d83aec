package rest

import (
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"watershed/signaling/access"
	"watershed/signaling/problem"
)

// object is a JSON object under construction.
type object = map[string]any

// openAPI describes the endpoints (OpenAPI 3.1), from their table and the Go types of their shapes.
func openAPI() []byte {
	s := schemas{}
	paths := object{}
	for _, ep := range endpoints {
		at := braces(ep.path)
		if paths[at] == nil {
			paths[at] = object{}
		}
		paths[at].(object)[strings.ToLower(ep.method)] = s.operation(ep)
	}
	s.of(reflect.TypeFor[problem.Problem]())
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Watershed", "version": "1",
			"description": "Times are milliseconds since 1970. Errors are application/problem+json (RFC 9457). What belongs to another tenant is not found (404).",
		},
		"servers":  []object{{"url": prefix}},
		"security": []object{{"bearer": []string{}}, {"key": []string{}}, {}},
		"paths":    paths,
		"components": object{
			"schemas": s,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "description": "A JWT, or a stream key"},
				"key":    object{"type": "apiKey", "in": "query", "name": "key", "description": "A stream key, where no header can be sent"},
			},
		},
	}, "", " ")
	if err != nil {
		panic(err) // of constants and types: a test would have found it
	}
	return text
}

func (a *API) openAPI(c echo.Context) error {
	openToAll(c.Response().Header())
	return c.JSONBlob(http.StatusOK, a.spec)
}

var param = regexp.MustCompile(`:(\w+)`)

// braces writes echo's :name as OpenAPI does.
func braces(path string) string { return param.ReplaceAllString(path, "{$1}") }

// schemas of components, by the name of the Go type.
type schemas map[string]any

func (s schemas) operation(ep endpoint) object {
	status := ep.status
	if status == 0 {
		status = http.StatusOK
	}
	success := object{"description": http.StatusText(status)}
	if ep.answer != nil {
		success["content"] = object{"application/json": object{"schema": s.of(reflect.TypeOf(ep.answer))}}
	}
	if ep.media != "" {
		success["content"] = object{ep.media: object{}}
	}
	op := object{
		"summary": ep.summary,
		"responses": object{
			strconv.Itoa(status): success,
			"default": object{
				"description": "What is wrong, why, and what to do",
				"content":     object{"application/problem+json": object{"schema": ref("Problem")}},
			},
		},
	}
	if r, ok := requirement(ep); ok {
		op["description"] = r
	}
	if ep.method == http.MethodPut && status == http.StatusOK {
		op["responses"].(object)["201"] = success
	}
	var params []object
	for _, m := range param.FindAllStringSubmatch(ep.path, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, q := range ep.query {
		params = append(params, object{"name": q, "in": "query", "schema": object{"type": "string"}})
	}
	if params != nil {
		op["parameters"] = params
	}
	if ep.body != nil {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s.of(reflect.TypeOf(ep.body))}}}
	}
	return op
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// of is the schema of a type as encoding/json writes it.
func (s schemas) of(t reflect.Type) object {
	switch {
	case t.Kind() == reflect.Pointer:
		inner := s.of(t.Elem())
		return object{"anyOf": []object{inner, {"type": "null"}}}
	case t.Implements(textMarshaler):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Struct:
		if s[t.Name()] == nil {
			s[t.Name()] = object{} // breaks cycles
			s[t.Name()] = s.fields(t)
		}
		return ref(t.Name())
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	}
	panic("no schema for " + t.String())
}

func (s schemas) fields(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		schema := s.of(f.Type)
		if strings.Contains(options, "omit") {
			if f.Type.Kind() == reflect.Pointer {
				schema = s.of(f.Type.Elem())
			}
		} else {
			required = append(required, name)
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			schema["description"] = doc
		}
		properties[name] = schema
	}
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// requirement says in words what an endpoint takes.
func requirement(ep endpoint) (string, bool) {
	if ep.do == "" {
		return "", false
	}
	return "Takes the right " + string(ep.do) + ": " + access.Requirement(ep.do) + ".", true
}
