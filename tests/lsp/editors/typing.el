;;; typing.el --- One headless Emacs session with eglot: type, probe, close.  -*- lexical-binding: t -*-

;; What was seen goes to $GRADSENSE_RESULT as JSON.

(package-initialize)
(require 'eglot)
(require 'json)

(setq eglot-sync-connect 60)
(add-to-list 'eglot-server-programs
             `(python-mode . ,(json-parse-string (getenv "GRADSENSE_SERVER") :array-type 'list)))

(defvar typing-messages nil "What the server had to say.")
(cl-defmethod eglot-handle-notification (_server (_method (eql window/showMessage)) &key message &allow-other-keys)
  (push message typing-messages))

(defvar typing-state 42)
(defun typing-below (limit)
  "A number below LIMIT that looks random, the same in each run."
  (setq typing-state (% (+ (* typing-state 1103515245) 12345) 2147483648))
  (% (/ typing-state 65536) limit))

(defconst typing-pieces
  ["bad_call()" "\n" "x = \"é😀\"; " "\n\n" "€" "\f" " " "bad_call()\nbad_call()" "'😀'"])

(defun typing-wait (problem condition)
  "Handle messages until CONDITION holds; after a while complain of PROBLEM."
  (with-timeout (30 (error "%s" problem))
    (while (not (funcall condition))
      (accept-process-output nil 0.02))))

(defun typing-calls ()
  "Where each bad call begins."
  (save-excursion
    (goto-char (point-min))
    (let (found)
      (while (re-search-forward "\\_<bad_call()" nil t)
        (push (match-beginning 0) found))
      (nreverse found))))

(defun typing-findings ()
  "Where each finding begins."
  (sort (mapcar #'flymake-diagnostic-beg (flymake-diagnostics)) #'<))

(defun typing-something ()
  "Insert or delete somewhere."
  (goto-char (+ (point-min) (typing-below (1+ (- (point-max) (point-min))))))
  (if (> (typing-below 4) 0)
      (insert (aref typing-pieces (typing-below (length typing-pieces))))
    (delete-region (point) (min (point-max) (+ (point) (typing-below 12))))))

(defun typing-send ()
  "Tell the server at once; Emacs would wait for the user to pause."
  (eglot--signal-textDocument/didChange))

(defun typing-run (program)
  "Type into PROGRAM and probe it; return what was seen."
  (find-file program)
  (apply #'eglot (eglot--guess-contact))
  (let ((checked 0) lens)
    (dotimes (round 120)
      (typing-something)
      (typing-send)
      (when (= 9 (% round 10))
        (goto-char (point-min))
        (insert "bad_call()\n")
        (typing-send)
        (typing-wait (format "%S are not %S in %S" (typing-findings) (typing-calls) (buffer-string))
                     (lambda () (equal (typing-calls) (typing-findings))))
        (setq checked (1+ checked))))
    (erase-buffer)
    (insert "class Net:\n    x = 1\n")
    (typing-send)
    (setq lens (aref (jsonrpc-request (eglot-current-server) :textDocument/codeLens
                                      (list :textDocument (eglot--TextDocumentIdentifier)))
                     0))
    (jsonrpc-request (eglot-current-server) :workspace/executeCommand (plist-get lens :command))
    (typing-wait "no finding of the probe" (lambda () (and (typing-findings) typing-messages)))
    (eglot-shutdown (eglot-current-server))
    `((checked . ,checked)
      (lens . ,(plist-get (plist-get lens :command) :title))
      (messages . ,(vconcat typing-messages)))))

(let ((seen (condition-case problem
                (typing-run (getenv "GRADSENSE_PROGRAM"))
              (error `((problem . ,(error-message-string problem)))))))
  (with-temp-file (getenv "GRADSENSE_RESULT")
    (insert (json-encode seen))))
