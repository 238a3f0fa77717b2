// Head prints the first lines or bytes of files.
//
// Synopsis:
//
//	head [-NUMBER | -n NUMBER | -c NUMBER] [FILE]...
//
// Without a file, or for the file -, it reads standard input. Without a number it prints 10 lines.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	count, bytes, files, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "head: %v\n", err)
		return 1
	}
	code := 0
	for i, name := range files {
		if len(files) > 1 {
			fmt.Fprintf(stdout, "%s==> %s <==\n", strings.Repeat("\n", min(i, 1)), name)
		}
		if err := head(name, stdin, stdout, count, bytes); err != nil {
			fmt.Fprintf(stderr, "head: %v\n", err)
			code = 1
		}
	}
	return code
}

// parse returns how many lines or bytes to print of which files.
func parse(args []string) (count int64, bytes bool, files []string, err error) {
	count = 10
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		text := args[0][1:]
		args = args[1:]
		if text == "-" {
			break
		}
		if letter := text[0]; letter == 'n' || letter == 'c' {
			bytes = letter == 'c'
			text = text[1:]
			if text == "" {
				if len(args) == 0 {
					return 0, false, nil, fmt.Errorf("option -%c needs a number", letter)
				}
				text, args = args[0], args[1:]
			}
		}
		number, err := strconv.ParseUint(text, 10, 62)
		if err != nil {
			return 0, false, nil, fmt.Errorf("%q: want a number", text)
		}
		count = int64(number)
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	return count, bytes, args, nil
}

// head prints the beginning of a file. It reads no more than one buffer beyond that.
func head(name string, stdin io.Reader, w io.Writer, count int64, bytes bool) error {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		stdin = file
	}
	if bytes {
		_, err := io.Copy(w, io.LimitReader(stdin, count))
		return err
	}
	in := bufio.NewReader(stdin)
	for count > 0 {
		part, err := in.ReadSlice('\n') // only a part of a line that is longer than the buffer
		if _, err := w.Write(part); err != nil {
			return err
		}
		switch {
		case err == nil:
			count--
		case errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return nil
}
