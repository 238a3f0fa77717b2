package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// errEscape means that the user has typed the escape character.
var errEscape = errors.New("stopped by the user")

// escapeCharacter is Ctrl-], as in telnet.
const escapeCharacter = 0x1d

// escapeReader reads from a terminal in raw mode. When the user types the escape character, it
// calls escape and returns io.EOF.
type escapeReader struct {
	r      io.Reader
	escape func()
}

func (e *escapeReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if i := bytes.IndexByte(p[:n], escapeCharacter); i >= 0 {
		e.escape()
		return i, io.EOF
	}
	return n, err
}

// port is an option --port.
type port struct {
	name, path string
}

// open returns a Writer for the guest's output on the port: the file path or, if path is empty,
// stderr, with the port's name before each line. It fails if the file cannot be created.
func (p port) open(stderr io.Writer) (io.WriteCloser, error) {
	if p.path == "" {
		return &lineWriter{prefix: p.name + ": ", w: stderr}, nil
	}
	f, err := os.Create(p.path)
	if err != nil {
		return nil, fmt.Errorf("--port %s: %w", p.name, err)
	}
	return f, nil
}

// lineWriter writes complete lines to w, with a prefix before each line.
type lineWriter struct {
	prefix string
	w      io.Writer
	line   []byte // the incomplete line at the end of the data
}

func (l *lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		l.line = append(l.line, line...)
		if line[len(line)-1] != '\n' {
			break
		}
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Close writes the last line, with a line feed, if it is incomplete.
func (l *lineWriter) Close() error {
	if len(l.line) == 0 {
		return nil
	}
	l.line = append(l.line, '\n')
	return l.flush()
}

func (l *lineWriter) flush() error {
	_, err := fmt.Fprintf(l.w, "%s%s", l.prefix, l.line)
	l.line = l.line[:0]
	return err
}

// withCR is a Writer that inserts a carriage return before each line feed, for a terminal that may
// be in raw mode.
type withCR struct{ w io.Writer }

func (c withCR) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// withoutCR is a Writer that removes carriage returns from the output of a terminal.
type withoutCR struct{ w io.Writer }

func (c withoutCR) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\r"), nil)); err != nil {
		return 0, err
	}
	return len(p), nil
}
