package guestinit

import (
	"slices"
	"strings"
)

// boot returns the environment and the arguments that Linux gives to init for a command line, as
// init/main.c and lib/cmdline.c do, without the parameters that the kernel knows. It returns false
// if the kernel would panic.
func boot(line string) (environ, args []string, ok bool) {
	environ = []string{"HOME=/", "TERM=linux"}
	dashes := false
	for {
		line = skipBlanks(line)
		if line == "" {
			return environ, args, true
		}
		var param, value string
		var hasValue bool
		param, value, hasValue, line = nextParam(line)
		whole := param + "=" + value
		switch {
		case param == "--" && !hasValue:
			if dashes {
				return environ, args, true
			}
			dashes = true
		case dashes && !hasValue:
			args = append(args, param)
		case dashes:
			args = append(args, whole)
		case param == "init", strings.Contains(param, "."), !hasValue:
		default:
			hasName := func(entry string) bool { return strings.HasPrefix(entry, param+"=") }
			if i := slices.IndexFunc(environ, hasName); i >= 0 {
				environ[i] = whole
			} else if environ = append(environ, whole); len(environ) > 33 {
				return nil, nil, false
			}
		}
		if len(args) > 32 {
			return nil, nil, false
		}
	}
}

// nextParam is next_arg of the kernel's lib/cmdline.c. The line does not begin with a blank.
func nextParam(line string) (param, value string, hasValue bool, rest string) {
	i, equals := 0, 0
	quoted := line[0] == '"'
	if quoted {
		line = line[1:]
	}
	quotes := quoted
	for ; i < len(line) && (quotes || !isBlank(line[i])); i++ {
		if line[i] == '=' && equals == 0 {
			equals = i
		}
		if line[i] == '"' {
			quotes = !quotes
		}
	}
	param, rest = line[:i], line[i:]
	if equals == 0 {
		if quoted {
			param = strings.TrimSuffix(param, `"`)
		}
		return param, "", false, rest
	}
	param, value = param[:equals], param[equals+1:]
	if strings.HasPrefix(value, `"`) {
		value = strings.TrimSuffix(value[1:], `"`)
	} else if quoted {
		value = strings.TrimSuffix(value, `"`)
	}
	return param, value, true, rest
}

func skipBlanks(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// isBlank is isspace of the kernel's lib/ctype.c.
func isBlank(c byte) bool { return strings.IndexByte(" \t\n\v\f\r\xa0", c) >= 0 }
