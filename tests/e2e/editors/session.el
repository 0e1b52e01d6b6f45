;;; session.el --- One headless Emacs session with eglot.  -*- lexical-binding: t -*-

;; Opens $GRADSENSE_PROGRAM, waits for the findings, applies the preferred fix, saves.
;; What was seen goes to $GRADSENSE_RESULT as JSON.

(package-initialize)
(require 'eglot)
(require 'json)

(setq eglot-sync-connect 60)
(add-to-list 'eglot-server-programs
             `(python-mode . ,(json-parse-string (getenv "GRADSENSE_SERVER") :array-type 'list)))

(defun session-wait (problem condition)
  "Handle messages until CONDITION holds; after a minute complain of PROBLEM."
  (with-timeout (60 (error "%s" problem))
    (while (not (funcall condition))
      (accept-process-output nil 0.1))))

(defun session-run (program)
  "Let GradSense look at PROGRAM and repair it; return what was seen."
  (find-file program)
  (apply #'eglot (eglot--guess-contact))
  (session-wait "no findings were published" #'flymake-diagnostics)
  (let* ((findings (flymake-diagnostics))
         (actions (eglot-code-actions (flymake-diagnostic-beg (car findings))
                                      (flymake-diagnostic-end (car findings))))
         (preferred (seq-find (lambda (action) (eq t (plist-get action :isPreferred))) actions)))
    (unless preferred
      (error "no preferred fix was offered"))
    (eglot--apply-workspace-edit (plist-get preferred :edit))
    ;; Saving sends the edit too: eglot would do so when idle, which a batch session never is.
    (save-buffer)
    (session-wait "the finding stayed after its fix" (lambda () (null (flymake-diagnostics))))
    `((findings . ,(vconcat (mapcar #'flymake-diagnostic-text findings))))))

(let ((seen (condition-case problem
                (session-run (getenv "GRADSENSE_PROGRAM"))
              (error `((problem . ,(error-message-string problem)))))))
  (with-temp-file (getenv "GRADSENSE_RESULT")
    (insert (json-encode seen))))
