-- One headless Neovim session, from version 0.7 on: wait for the open file's findings, switch the rule off and on again
-- in a file that isn't open, apply the preferred fix, save. What was seen goes to $GRADSENSE_RESULT as JSON.
local patience = 60000 -- milliseconds

local function run()
  local id = vim.lsp.start_client({
    name = "gradsense",
    cmd = vim.json.decode(vim.env.GRADSENSE_SERVER),
    root_dir = vim.fn.getcwd(),
  })
  vim.lsp.buf_attach_client(0, id)
  local function findings() return vim.diagnostic.get(0) end
  local function seen() return #findings() > 0 end
  local function gone() return #findings() == 0 end

  assert(vim.wait(patience, seen), "no findings were published")
  local messages = vim.tbl_map(function(finding) return finding.message end, findings())

  local configuration = vim.fn.getcwd() .. "/gradsense.toml"
  vim.fn.writefile({ ('ignore = ["%s"]'):format(findings()[1].code) }, configuration)
  vim.cmd("write") -- Neovim watches no files on Linux: the server looks at them when one is saved.
  assert(vim.wait(patience, gone), "the finding stayed though its rule was off")
  vim.fn.delete(configuration)
  vim.cmd("write")
  assert(vim.wait(patience, seen), "the finding stayed away though its rule was on again")

  local finding = findings()[1]
  local answers = vim.lsp.buf_request_sync(0, "textDocument/codeAction", {
    textDocument = vim.lsp.util.make_text_document_params(),
    range = {
      start = { line = finding.lnum, character = finding.col },
      ["end"] = { line = finding.end_lnum, character = finding.end_col },
    },
    context = { diagnostics = vim.lsp.diagnostic.get_line_diagnostics(0, finding.lnum) },
  }, patience)
  local preferred = vim.tbl_filter(function(action) return action.isPreferred end, answers[id].result)[1]
  assert(preferred, "no preferred fix was offered")
  local chosen = preferred.edit and preferred
    or vim.lsp.buf_request_sync(0, "codeAction/resolve", preferred, patience)[id].result
  vim.lsp.util.apply_workspace_edit(chosen.edit, vim.lsp.get_client_by_id(id).offset_encoding)

  assert(vim.wait(patience, gone), "the finding stayed after its fix")
  vim.cmd("write")
  return { findings = messages }
end

local ran, seen = pcall(run)
local file = assert(io.open(vim.env.GRADSENSE_RESULT, "w"))
file:write(vim.json.encode(ran and seen or { problem = tostring(seen) }))
file:close()
vim.cmd("qall!")
