// Tail prints the last lines or bytes of files.
//
// Synopsis:
//
//	tail [-f] [-NUMBER | -n NUMBER | -c NUMBER] [FILE]...
//
// Without a file, or for the file -, it reads standard input. Without a number it prints 10 lines.
// With +NUMBER, it prints everything from that line or byte on, counted from 1. With -f, it goes on
// to print what is added to the files.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// options say what to print.
type options struct {
	count  int64
	start  bool // count says where to start
	bytes  bool // count is in bytes, not in lines
	follow bool
	files  []string
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "tail: %v\n", err)
		return 1
	}
	code := 0
	var followed []*os.File
	for i, name := range o.files {
		if len(o.files) > 1 {
			fmt.Fprintf(stdout, "%s==> %s <==\n", strings.Repeat("\n", min(i, 1)), name)
		}
		in := stdin
		if name != "-" {
			file, err := os.Open(name)
			if err != nil {
				fmt.Fprintf(stderr, "tail: %v\n", err)
				code = 1
				continue
			}
			defer file.Close()
			in, followed = file, append(followed, file)
		}
		if err := o.tail(in, stdout); err != nil {
			fmt.Fprintf(stderr, "tail: %s: %v\n", name, err)
			code = 1
		}
	}
	if o.follow && len(followed) > 0 {
		if err := follow(ctx, followed, stdout); err != nil {
			fmt.Fprintf(stderr, "tail: %v\n", err)
			code = 1
		}
	}
	return code
}

func parse(args []string) (options, error) {
	o := options{count: 10}
	for len(args) > 0 && len(args[0]) > 1 && strings.ContainsAny(args[0][:1], "-+") {
		text := strings.TrimPrefix(args[0], "-")
		args = args[1:]
		if text == "-" {
			break
		}
		if strings.HasPrefix(text, "f") {
			o.follow = true
			if text = text[1:]; text == "" {
				continue
			}
		}
		if letter := text[0]; letter == 'n' || letter == 'c' {
			o.bytes = letter == 'c'
			text = text[1:]
			if text == "" {
				if len(args) == 0 {
					return o, fmt.Errorf("option -%c needs a number", letter)
				}
				text, args = strings.TrimPrefix(args[0], "-"), args[1:]
			}
		}
		number, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 31)
		if err != nil {
			return o, fmt.Errorf("%q: want a number", text)
		}
		o.count, o.start = int64(number), strings.HasPrefix(text, "+")
	}
	o.files = args
	if len(args) == 0 {
		o.files = []string{"-"}
	}
	return o, nil
}

// tail prints the end of what it reads.
func (o *options) tail(r io.Reader, w io.Writer) error {
	in := bufio.NewReader(r)
	var err error
	switch {
	case o.start && o.bytes:
		_, err = io.CopyN(io.Discard, in, max(0, o.count-1))
	case o.start:
		for n := int64(1); n < o.count && err == nil; n++ {
			err = skipLine(in)
		}
	case o.bytes:
		return lastBytes(in, w, int(o.count))
	default:
		return lastLines(in, w, int(o.count))
	}
	if err == nil {
		_, err = io.Copy(w, in)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func skipLine(in *bufio.Reader) error {
	for {
		if _, err := in.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// lastLines prints the last count lines. It keeps up to 2*count lines in memory.
func lastLines(in *bufio.Reader, w io.Writer, count int) error {
	var lines [][]byte
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			lines = append(lines, line)
		}
		if len(lines) > 2*count || err != nil {
			lines = slices.Delete(lines, 0, max(0, len(lines)-count))
		}
		if errors.Is(err, io.EOF) {
			_, err = w.Write(bytes.Join(lines, nil))
			return err
		}
		if err != nil {
			return err
		}
	}
}

// lastBytes prints the last count bytes. It keeps up to 2*count bytes in memory, and some more.
func lastBytes(in *bufio.Reader, w io.Writer, count int) error {
	var kept []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := in.Read(chunk)
		kept = append(kept, chunk[:n]...)
		if len(kept) > 2*count || err != nil {
			kept = slices.Delete(kept, 0, max(0, len(kept)-count))
		}
		if errors.Is(err, io.EOF) {
			_, err = w.Write(kept)
			return err
		}
		if err != nil {
			return err
		}
	}
}

// interval is the time between two looks at a file.
const interval = 250 * time.Millisecond

// follow prints what is added to files until ctx ends. A file that was truncated is printed from
// its beginning.
func follow(ctx context.Context, files []*os.File, w io.Writer) error {
	for {
		for _, file := range files {
			if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
				if at, err := file.Seek(0, io.SeekCurrent); err == nil && at > info.Size() {
					_, _ = file.Seek(0, io.SeekStart)
				}
			}
			if _, err := io.Copy(w, file); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}
