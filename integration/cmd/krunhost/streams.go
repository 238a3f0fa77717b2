package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// errEscape means that the user typed the escape character.
var errEscape = errors.New("stopped by the user")

// escapeCharacter is Ctrl-], as in telnet.
const escapeCharacter = 0x1d

// escapeReader reads from a terminal in raw mode until the escape character is typed; then it calls escape and has
// nothing more.
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

// port is a further port of the guest: where its output goes.
type port struct {
	name, path string
}

// open returns the destination of what the guest writes: the port's file, else stderr, with the name before each line.
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

// lineWriter writes whole lines to w, with a prefix.
type lineWriter struct {
	prefix string
	w      io.Writer
	line   []byte // not finished yet
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

// Close writes the last line even if it has no end.
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

// withCR writes lines to a terminal that may be in raw mode.
type withCR struct{ w io.Writer }

func (c withCR) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// withoutCR writes what comes from a terminal without its carriage returns.
type withoutCR struct{ w io.Writer }

func (c withoutCR) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\r"), nil)); err != nil {
		return 0, err
	}
	return len(p), nil
}
