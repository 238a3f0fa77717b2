#compdef {{.Name}}{{range .Links}} {{.}}{{end}}
# Made from what --help prints; see multicall/dist of krunbox.
{{- if .Applets}}
if [[ $service == {{.Name}} ]]; then
  local -a words_of_{{.Name}}
  words_of_{{.Name}}=(
{{- range .Words}}
    {{quote (print .Name ":" .Summary)}}
{{- end}}
  )
  if (( CURRENT == 2 )); then
    _describe applet words_of_{{.Name}}
    return
  fi
  if [[ $words[2] == help ]]; then
    (( CURRENT > 3 )) || compadd {{names .Applets}}
    return
  fi
  shift words
  (( CURRENT-- ))
  service=$words[1]
fi
{{- end}}
case $service in
{{- range .Commands}}
{{.Name}})
  _arguments{{range .Options}} \
    {{zsh .}}{{end}} \
    '*:::argument:_normal'
  ;;
{{- end}}
esac
