package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// set lays one "dotted.key=value" over the document; the value is YAML.
func set(root *yaml.Node, s string) *Problem {
	key, text, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return &Problem{Text: fmt.Sprintf("--set %q: want key=value", s)}
	}
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil || len(doc.Content) != 1 {
		return &Problem{Key: key, Text: fmt.Sprintf("--set: %q is not a YAML value", text)}
	}
	value := doc.Content[0]
	unplace(value)
	at := root
	parts := strings.Split(key, ".")
	for i, part := range parts {
		next := child(at, part)
		last := i == len(parts)-1
		switch {
		case last && next != nil:
			*next = *value
		case last:
			put(at, part, value)
		case next == nil:
			next = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			put(at, part, next)
		case next.Kind != yaml.MappingNode:
			return &Problem{Line: next.Line, Key: key, Text: fmt.Sprintf("--set: %s is not a mapping", part)}
		}
		at = next
	}
	return nil
}

// unplace takes the positions out of a value that is not from the file.
func unplace(n *yaml.Node) {
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		unplace(c)
	}
}

func child(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func put(m *yaml.Node, key string, value *yaml.Node) {
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// Overlay lays each "key=value" of sets over a configuration file's content and gives the new content. Comments are kept. The
// result is not checked: Parse does that.
func Overlay(data []byte, sets []string) ([]byte, error) {
	root, problems := document(data)
	for _, s := range sets {
		if len(problems) > 0 {
			break
		}
		if p := set(root, s); p != nil {
			problems = append(problems, *p)
		}
	}
	if len(problems) > 0 {
		return nil, &Error{File: "configuration", Problems: problems}
	}
	out, err := yaml.Dump(root)
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out, nil
}
