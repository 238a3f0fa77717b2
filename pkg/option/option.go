// Package option parses the options of a command as package flag does, without its cost: that package makes a set of flags
// for the program before main, whether it has any or not.
package option

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrHelp says that -h or -help was given.
var ErrHelp = errors.New("help was asked for")

// Option is an option of a command.
type Option struct {
	name string
	flag *bool   // set by the option itself
	text *string // set to the option's argument
}

// Flag is an option without an argument.
func Flag(name string, to *bool) Option { return Option{name: name, flag: to} }

// Text is an option with an argument, the next one or behind "=".
func Text(name string, to *string) Option { return Option{name: name, text: to} }

// Parse parses arguments up to the first that is no option, or to "--", and returns those after it. Options have one dash
// or two. An error is one line, or ErrHelp.
func Parse(args []string, options ...Option) (operands []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' {
			return args, nil
		}
		args = args[1:]
		if arg == "--" {
			return args, nil
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		o := find(options, name)
		switch {
		case o == nil && (name == "h" || name == "help"):
			return nil, ErrHelp
		case o == nil:
			return nil, fmt.Errorf("%s: %w", arg, errors.New("no such option"))
		case o.flag != nil && given:
			return nil, fmt.Errorf("%s: %w", arg, errors.New("the option takes no argument"))
		case o.flag != nil:
			*o.flag = true
			continue
		case !given && len(args) == 0:
			return nil, fmt.Errorf("%s: %w", arg, errors.New("the option needs an argument"))
		case !given:
			value, args = args[0], args[1:]
		}
		*o.text = value
	}
	return nil, nil
}

// Duration parses a time such as 500ms, 10s or 2m. Package time's own parser has a table that is made before main.
func Duration(s string) (time.Duration, error) {
	digits := strings.TrimRight(s, "ms")
	n, err := strconv.ParseUint(digits, 10, 31)
	unit, known := time.Duration(0), true
	switch s[len(digits):] {
	case "ms":
		unit = time.Millisecond
	case "s":
		unit = time.Second
	case "m":
		unit = time.Minute
	default:
		known = false
	}
	if err != nil || !known {
		return 0, fmt.Errorf("%q: %w", s, errors.New("want a time such as 500ms, 10s or 2m"))
	}
	return time.Duration(n) * unit, nil
}

func find(options []Option, name string) *Option {
	for i := range options {
		if options[i].name == name {
			return &options[i]
		}
	}
	return nil
}
