package bootparam

import (
	"slices"
	"strings"
)

// HasTSI reports whether the kernel command line, the contents of /proc/cmdline,
// switches on libkrun's transparent socket impersonation.
func HasTSI(cmdline string) bool {
	return slices.Contains(Tokens(cmdline), "tsi_hijack")
}

// Tokens splits a kernel command line, the contents of /proc/cmdline, into the
// parameters that the kernel finds in it. It ends before the parameter "--":
// what follows are arguments of init.
//
// It follows next_arg in the kernel's lib/cmdline.c: blanks between double quotes
// do not separate parameters. Quotes around a whole parameter, or around what
// follows its first "=", are removed. Other quotes stay.
func Tokens(cmdline string) []string {
	tokens, _, _ := split(cmdline)
	return tokens
}

// RestoreArgs completes args, the arguments of init as the kernel passed them,
// from the kernel command line, the contents of /proc/cmdline. The kernel takes a
// second parameter "--" for the end of the arguments, and drops it and all that
// follow. RestoreArgs returns args unchanged if they do not come from this line.
func RestoreArgs(args []string, cmdline string) []string {
	_, rest, _ := split(cmdline)
	passed, rest, dropped := split(rest)
	// The kernel puts parameters that it does not know before those after "--".
	if before := len(args) - len(passed); before < 0 || !slices.Equal(args[before:], passed) {
		return args
	}
	args = slices.Clip(args)
	for dropped {
		args = append(args, "--")
		var tokens []string
		tokens, rest, dropped = split(rest)
		args = append(args, tokens...)
	}
	return args
}

// split returns the parameters before the first "--", the text after that "--",
// and whether there is one.
func split(cmdline string) (tokens []string, rest string, dashes bool) {
	tokens = make([]string, 0, 32)
	for {
		for cmdline != "" && isBlank(cmdline[0]) {
			cmdline = cmdline[1:]
		}
		if cmdline == "" {
			return tokens, "", false
		}
		var token string
		token, cmdline = nextToken(cmdline)
		if token == "--" {
			return tokens, cmdline, true
		}
		tokens = append(tokens, token)
	}
}

// nextToken takes the parameter at the beginning of s, which is not empty and
// begins with no blank.
func nextToken(s string) (token, rest string) {
	quoted := s[0] == '"'
	if quoted {
		s = s[1:]
	}
	inQuotes := quoted
	end := 0
	for end < len(s) && (inQuotes || !isBlank(s[end])) {
		if s[end] == '"' {
			inQuotes = !inQuotes
		}
		end++
	}
	token, rest = s[:end], s[end:]

	if value := valueIndex(token); value > 0 && strings.HasPrefix(token[value:], `"`) {
		quoted = true
		token = token[:value] + token[value+1:]
	}
	if quoted {
		token = strings.TrimSuffix(token, `"`)
	}
	return token, rest
}

// valueIndex returns where the value in a parameter NAME=VALUE begins, 0 if it
// has none. NAME has at least one byte, which may be a "=".
func valueIndex(token string) int {
	if token == "" {
		return 0
	}
	equals := strings.IndexByte(token[1:], '=')
	if equals < 0 {
		return 0
	}
	return 1 + equals + 1
}

// isBlank is isspace of the kernel, for which the no-break space of Latin-1 is a
// space too.
func isBlank(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r' || c == 0xa0
}
