// Date prints or sets the time.
//
// Synopsis:
//
//	date [-u] [-d TIME | -r FILE] [-R | -I | +FORMAT]
//	date [-u] -s TIME
//
// A time is @SECONDS since 1970, or in one of the forms 2006-01-02, 2006-01-02 15:04[:05],
// 2006-01-02T15:04:05Z (RFC 3339) and 15:04[:05]. The format is that of strftime(3).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(run(os.Args[1:], time.Now(), os.Stdout, os.Stderr)) }

func run(args []string, now time.Time, stdout, stderr io.Writer) int {
	if err := date(args, now, stdout); err != nil {
		fmt.Fprintf(stderr, "date: %v\n", err)
		return 1
	}
	return 0
}

const (
	defaultFormat = "%a %b %e %H:%M:%S %Z %Y"
	rfc5322       = "%a, %d %b %Y %H:%M:%S %z"
)

func date(args []string, now time.Time, stdout io.Writer) error {
	format := defaultFormat
	var source, value string // how the time is given
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-u":
			now = now.UTC()
		case arg == "-R":
			format = rfc5322
		case arg == "-I":
			format = "%F"
		case arg == "-Iseconds":
			format = "%FT%T%:z"
		case arg == "-d" || arg == "-s" || arg == "-r":
			if i++; i == len(args) {
				return fmt.Errorf("option %s needs a value", arg)
			}
			source, value = arg, args[i]
		case strings.HasPrefix(arg, "+"):
			format = arg[1:]
		default:
			return fmt.Errorf("%s: want -u, -d TIME, -r FILE, -s TIME, -R, -I or +FORMAT", arg)
		}
	}
	at, set := now, false
	switch source {
	case "-r":
		info, err := os.Stat(value)
		if err != nil {
			return err
		}
		at = info.ModTime().In(now.Location())
	case "-d", "-s":
		set = source == "-s"
		var err error
		if at, err = parse(value, now); err != nil {
			return err
		}
	}
	text, err := formatted(format, at)
	if err != nil {
		return err
	}
	if set {
		value := unix.NsecToTimeval(at.UnixNano())
		if err := unix.Settimeofday(&value); err != nil {
			return fmt.Errorf("set the clock: %w", err)
		}
	}
	_, err = fmt.Fprintln(stdout, text)
	return err
}

// parse returns the time that text stands for. A time without a date is on the day of now.
func parse(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if number, ok := strings.CutPrefix(text, "@"); ok {
		if seconds, err := strconv.ParseInt(number, 10, 64); err == nil {
			return time.Unix(seconds, 0).In(now.Location()), nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at.In(now.Location()), nil
		}
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), 0, now.Location()), nil
		}
	}
	return now, fmt.Errorf("time %q: want @SECONDS, 2006-01-02, 15:04:05, or both, or RFC 3339", text)
}

// layouts are layouts of package time for conversions of strftime(3).
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'c': "Mon Jan _2 15:04:05 2006",
	'd': "02", 'D': "01/02/06", 'e': "_2", 'F': "2006-01-02", 'H': "15", 'I': "03", 'j': "002",
	'm': "01", 'M': "04", 'p': "PM", 'r': "03:04:05 PM", 'R': "15:04", 'S': "05", 'T': "15:04:05",
	'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
}

// formatted returns a time in a format of strftime(3).
func formatted(format string, at time.Time) (string, error) {
	var text strings.Builder
	for {
		before, after, found := strings.Cut(format, "%")
		text.WriteString(before)
		if !found {
			return text.String(), nil
		}
		if after == "" {
			return "", errors.New("the format ends with %")
		}
		if rest, ok := strings.CutPrefix(after, ":z"); ok {
			text.WriteString(at.Format("-07:00"))
			format = rest
			continue
		}
		_, week := at.ISOWeek()
		switch letter := after[0]; letter {
		case '%':
			text.WriteByte('%')
		case 'n':
			text.WriteByte('\n')
		case 't':
			text.WriteByte('\t')
		case 's':
			fmt.Fprint(&text, at.Unix())
		case 'N':
			fmt.Fprintf(&text, "%09d", at.Nanosecond())
		case 'u':
			fmt.Fprint(&text, (int(at.Weekday())+6)%7+1)
		case 'w':
			fmt.Fprint(&text, int(at.Weekday()))
		case 'V':
			fmt.Fprintf(&text, "%02d", week)
		default:
			layout, ok := layouts[letter]
			if !ok {
				return "", fmt.Errorf("unknown conversion %%%c", letter)
			}
			text.WriteString(at.Format(layout))
		}
		format = after[1:]
	}
}
