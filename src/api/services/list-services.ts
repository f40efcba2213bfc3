import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type Pattern, parsePattern } from '../../identity/index.ts'
import type { apiPb } from '../../wire/index.ts'
import { MAX_PAGE, type ServiceFields, type ServiceList } from './service-list.ts'

const MAX_LABELS = 32

interface Listed {
  readonly services: ServiceFields[]
  readonly nextPageToken?: string
  readonly total?: number
}

/** Answers ListServices: one page, or all if no size of a page is asked for. Throws INVALID_ARGUMENT. */
export function listedServices(
  list: Pick<ServiceList, 'all' | 'lost' | 'page'>,
  request: apiPb.ListServicesRequest
): Listed {
  const { pageSize, pageToken, lost, labels, machine } = request
  if (Object.keys(labels).length > MAX_LABELS) {
    throw new WarrenError(ErrorCode.InvalidArgument, `more than ${MAX_LABELS} labels are asked for`, {
      hint: 'A registration has no more of them.'
    })
  }
  const filter = { pattern: optionalPattern(request.pattern), labels, machine }
  if (pageSize === 0 && pageToken === '') {
    return { services: [...list.all(filter), ...(lost ? list.lost(filter) : [])] }
  }
  if (lost) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'pages do not show what lost hosts had', {
      hint: 'Ask for lost hosts without a size of the page.'
    })
  }
  return list.page(filter, pageSize === 0 ? MAX_PAGE : pageSize, pageToken)
}

export function optionalPattern(text: string): Pattern | undefined {
  return text === '' ? undefined : parsePattern(text)
}
