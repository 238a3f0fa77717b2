# bash completion for {{.Name}}, made from what --help prints; see multicall/dist of krunbox
_{{.Name}}() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' i
	local command=${COMP_WORDS[0]##*/}
	COMPREPLY=()
{{- if .Applets}}
	if [[ $command == {{.Name}} ]]; then
		command=${COMP_WORDS[1]}
		if ((COMP_CWORD == 1)); then
			words='{{names .Words}}' command=help
		elif [[ $command == help ]] && ((COMP_CWORD == 2)); then
			words='{{names .Applets}}'
		fi
		if [[ $command == help ]]; then
			COMPREPLY=($(compgen -W "$words" -- "$cur"))
			return
		fi
	fi
{{- end}}
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then # a command and its arguments follow
			compopt -o default 2>/dev/null
			return
		fi
	done
	case $command,$prev in{{range $c := .Commands}}{{range .Options}}{{if .Value}}
	{{$c.Name}},{{.Flag}} | {{$c.Name}},-{{.Flag}})
{{- if eq .Kind "file"}}
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$cur"))
{{- else if eq .Kind "dir"}}
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -d -- "$cur"))
{{- else if eq .Kind "interface"}}
		COMPREPLY=($(compgen -W "all $(command ls /sys/class/net 2>/dev/null)" -- "$cur"))
{{- else if eq .Kind "arch"}}
		COMPREPLY=($(compgen -W 'amd64 arm64' -- "$cur"))
{{- end}}
		return
		;;{{end}}{{end}}{{end}}
	esac
	case $command in
{{- range .Commands}}
	{{.Name}}) words='{{names .Options}}' ;;
{{- end}}
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
	else
		compopt -o default 2>/dev/null
	fi
}
complete -F _{{.Name}} {{.Name}}{{range .Links}} {{.}}{{end}}
